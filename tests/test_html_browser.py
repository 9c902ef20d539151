"""The pages in a headless Chromium, opened from disk."""

from __future__ import annotations

import base64
import io
import json
import shutil
import time

import numpy as np
import pytest
import torch
from matplotlib.image import imread
from monai.data import MetaTensor

from bundle.write.html import write_index, write_report_page
from bundle.write.html.niivue import find_niivue
from bundle.write.montage import draw_montage

webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
if not CHROMIUM or not DRIVER:
    pytest.skip("chromium and chromium-driver are not installed", allow_module_level=True)

pytestmark = pytest.mark.slow

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
)
PATIENCE_S = 120
DESKTOP, PHONE = (800, 500), (390, 844)  # small: without a graphics card every pixel takes its time


def write_study(folder):
    grid = np.indices((40, 36, 24)) - np.array([20, 18, 12]).reshape(3, 1, 1, 1)
    voxels = np.where((grid[0] / 18) ** 2 + (grid[1] / 16) ** 2 < 1, 40, -1000).astype(np.int16)
    voxels[18:23, 4:9] = 700
    voxels += (8 * np.arange(24)).astype(np.int16)  # every slice has its own grey
    inside = ((grid[0] / 10) ** 2 + (grid[1] / 4) ** 2 + (grid[2] / 5) ** 2 < 1).astype(np.uint8)
    affine = torch.diag(torch.tensor([-3.0, -3.0, 5.0, 1.0], dtype=torch.float64))
    scan, mask = (MetaTensor(torch.from_numpy(array)[None], affine=affine) for array in (voxels, inside))
    report = {
        "case": folder.name,
        "outcome": "touches_border",
        "reason": "the outline reaches the upper border of the scan",
        "volume_ml": 37.7,
        "input_file": "scan.nii.gz",
        "measurements": {"mean_hu": 41.0, "length_mm": 158.7, "fat_fraction": 0.2},
        "findings": [{"name": "thick", "severity": "warning", "text": "slices are 5 mm thick"}],
    }
    folder.mkdir()
    (folder / "report.json").write_text(json.dumps(report), encoding="utf-8")
    draw_montage(scan, mask, folder / "overlay.png")
    write_report_page(report, folder / "report.html", scan, mask)


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("results")
    write_study(folder / "study #1")
    write_index(folder)
    return folder


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('browser')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    driver.set_page_load_timeout(PATIENCE_S)
    driver.set_script_timeout(PATIENCE_S)
    yield driver
    driver.quit()


def show(browser, page, size=DESKTOP):
    metrics = {"width": size[0], "height": size[1], "deviceScaleFactor": 1, "mobile": size == PHONE}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    for log in ("browser", "performance"):
        browser.get_log(log)  # empties it
    browser.get(page.as_uri())


def errors_of(browser) -> list[str]:
    return [entry["message"] for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]


def show_viewer(browser, results, size=DESKTOP):
    """Open the study's page and wait for the viewer; what the test before did to it is forgotten."""
    try:
        find_niivue()
    except LookupError as missing:
        pytest.skip(str(missing))
    show(browser, results / "study #1" / "report.html", size)
    script = "const s = document.getElementById('stage'); return s.dataset.ready === 'yes' || s.hidden"
    until = time.monotonic() + PATIENCE_S
    while not browser.execute_script(script) and time.monotonic() < until:
        time.sleep(0.2)
    assert browser.execute_script("return document.getElementById('stage').dataset.ready") == "yes", readout(browser)


def readout(browser) -> str:
    return browser.find_element("id", "readout").text


def slice_number(browser) -> int:
    return int(browser.execute_script("return document.getElementById('slice').value"))


def canvas(browser) -> np.ndarray:
    # the picture is read in the same task in which it is drawn: WebGL forgets it afterwards
    script = """document.pancreasViewer.drawScene();
        return document.getElementById('canvas').toDataURL('image/png').split(',')[1]"""
    return imread(io.BytesIO(base64.b64decode(browser.execute_script(script))))[..., :3]


def choose(browser, name: str, value: str):
    script = "const e = document.getElementById(arguments[0]); e.value = arguments[1];"
    browser.execute_script(script + "for (const n of ['input', 'change']) e.dispatchEvent(new Event(n))", name, value)


def test_the_page_opens_from_disk_without_errors_or_requests(browser, results):
    show_viewer(browser, results)
    assert errors_of(browser) == []
    sent = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    urls = [m["params"]["request"]["url"] for m in sent if m["method"] == "Network.requestWillBeSent"]
    assert urls and all(url.startswith(("file:", "data:", "blob:")) for url in urls)


def test_the_viewer_shows_scan_and_outline_in_their_colours(browser, results):
    show_viewer(browser, results)
    choose(browser, "choose-layout", "axial")
    picture = canvas(browser)
    yellow = (picture[..., 0] > 0.7) & (picture[..., 1] > 0.55) & (picture[..., 2] < 0.3)
    grey = (np.ptp(picture, axis=2) < 0.02) & (picture[..., 0] > 0.3)
    assert yellow.sum() > 100 and grey.sum() > 10_000
    choose(browser, "choose-mask", "none")
    picture = canvas(browser)
    assert not ((picture[..., 0] > 0.7) & (picture[..., 1] > 0.55) & (picture[..., 2] < 0.3)).any()


def test_the_slider_goes_through_the_slices(browser, results):
    show_viewer(browser, results)
    choose(browser, "choose-layout", "axial")
    before = canvas(browser)
    choose(browser, "slice", str(slice_number(browser) + 2))
    assert np.abs(canvas(browser) - before).max() > 0.03
    assert ", 70 mm" in readout(browser)  # two slices of 5 mm above 60 mm


def test_the_wheel_goes_through_the_slices_once_the_picture_has_the_focus(browser, results):
    show_viewer(browser, results)
    choose(browser, "choose-layout", "axial")
    target = browser.find_element("id", "canvas")
    webdriver.ActionChains(browser).move_to_element(target).click().perform()
    before = slice_number(browser)
    origin = webdriver.common.actions.wheel_input.ScrollOrigin.from_element(target)
    webdriver.ActionChains(browser).scroll_from_origin(origin, 0, 200).perform()
    assert slice_number(browser) != before


def test_the_readout_tells_hounsfield_units_and_place(browser, results):
    show_viewer(browser, results)
    # the voxel nearest to the ellipsoid's centre is (20, 18, 12), of 40 HU + 8 HU for each slice
    assert readout(browser) == "136 HU at −60, −54, 60 mm (right–left, back–front, feet–head), in the mask"


def test_the_whole_scan_and_the_gland_in_3d_can_be_chosen(browser, results):
    show_viewer(browser, results)
    choose(browser, "choose-volume", "whole")
    choose(browser, "choose-layout", "render")
    until = time.monotonic() + PATIENCE_S
    orange = 0
    while orange < 100 and time.monotonic() < until:
        picture = canvas(browser)
        orange = int(((picture[..., 0] > 0.3) & (picture[..., 2] < 0.5 * picture[..., 0])).sum())
    assert orange >= 100
    assert errors_of(browser) == []


def test_a_phone_shows_the_page_without_scrolling_sideways(browser, results):
    show_viewer(browser, results, PHONE)
    assert browser.execute_script("return document.documentElement.scrollWidth") <= PHONE[0]
    assert browser.execute_script("return document.getElementById('choose-layout').value") == "axial"
    show(browser, results / "index.html", PHONE)
    assert browser.execute_script("return document.documentElement.scrollWidth") <= PHONE[0]


def test_in_print_the_viewer_is_left_out(browser, results):
    show_viewer(browser, results)
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    assert not browser.find_element("id", "stage").is_displayed()
    pdf = browser.execute_cdp_cmd("Page.printToPDF", {"preferCSSPageSize": True})["data"]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
    assert base64.b64decode(pdf).startswith(b"%PDF")


def test_the_index_shows_pictures_and_leads_to_the_page(browser, results):
    show(browser, results / "index.html")
    decode = "const i = document.images[0]; i.loading = 'eager'; return i.decode().then(() => true)"
    assert browser.execute_script(decode)
    browser.find_element("link text", "study #1").click()
    assert browser.title.startswith("study #1")
    assert errors_of(browser) == []

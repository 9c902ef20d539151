"""OHIF, as MONAI Label serves it, in a headless Chromium: our masks lie over the CT where they belong."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pydicom
import pytest
import torch
from matplotlib.image import imread
from monai.data import MetaTensor
from scipy import ndimage

from bundle.geometry import spacing_of
from bundle.package.contents import NAME
from bundle.read import dicom_source, read_scan
from bundle.write import write_seg
from tests.label.masks import LPS_TO_RAS, mask_of
from tests.test_html_browser import CHROMIUM, DRIVER, FLAGS, webdriver

exceptions = pytest.importorskip("selenium.common.exceptions", reason="selenium is not installed")

pytestmark = pytest.mark.label

SIZE = (1280, 800)
PATIENCE_S, INFERENCE_S, SETTLE_S = 180, 600, 3
DISTANCE_MM = 15.0  # from the mask, where nothing may be coloured

VIEWPORTS = "[data-cy=viewport-pane]"

# cornerstone is what OHIF draws with, and OHIF gives it to the page.
VIEWPORT = "const viewport = cornerstone.getRenderingEngines().flatMap(engine => engine.getViewports())[0];"
MASK_IN_VIEWER = """
const [segmentation] = cornerstoneTools.segmentation.state.getSegmentations();
const volume = cornerstone.cache.getVolume(segmentation.representationData.Labelmap.volumeId);
const [columns, rows] = volume.dimensions;
const places = [];
volume.voxelManager.getCompleteScalarDataArray().forEach((value, index) => {
    if (value) {
        const slice = Math.floor(index / (columns * rows));
        const voxel = [index % columns, Math.floor(index / columns) % rows, slice];
        places.push(Array.from(volume.imageData.indexToWorld(voxel)));
    }
});
return places;
"""
NAMES_IN_VIEWER = """
return cornerstoneTools.segmentation.state.getSegmentations().flatMap(
    segmentation => Object.values(segmentation.segments).filter(Boolean).map(segment => segment.label));
"""
SHOW_PLANE = (
    VIEWPORT
    + """
const heights = viewport.getImageIds().map(
    id => cornerstone.metaData.get('imagePlaneModule', id).imagePositionPatient[2]);
const distances = heights.map(height => Math.abs(height - arguments[0][2]));
if (viewport.setImageIdIndex) {
    viewport.setImageIdIndex(distances.indexOf(Math.min(...distances)));
} else {
    viewport.jumpToWorld(arguments[0]);
}
viewport.render();
"""
)
PIXELS_OF = (
    VIEWPORT
    + """
const box = viewport.element.getBoundingClientRect();
return arguments[0].map(place => viewport.worldToCanvas(place)).map(([x, y]) => [x + box.left, y + box.top]);
"""
)


@pytest.fixture(scope="module")
def browser(tmp_path_factory) -> Iterator[Any]:
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in (*FLAGS, f"--window-size={SIZE[0]},{SIZE[1]}", f"--user-data-dir={tmp_path_factory.mktemp('browser')}"):
        options.add_argument(flag)
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    driver.set_page_load_timeout(PATIENCE_S)
    driver.set_script_timeout(PATIENCE_S)
    yield driver
    driver.quit()


def wait(browser: Any, what: Callable[[], Any], patience_s: float = PATIENCE_S) -> Any:
    """Return the first answer that is something; errors on the way are those of a page that isn't ready."""
    until = time.monotonic() + patience_s
    while time.monotonic() < until:
        try:
            if answer := what():
                return answer
        except exceptions.WebDriverException:
            pass
        time.sleep(0.3)
    raise TimeoutError(browser.find_element("tag name", "body").text)


def open_study(browser: Any, server_url: str, mode: str, study_uid: str) -> None:
    """Open a study in a mode of OHIF, in a single viewport, and wait until it shows a slice."""
    browser.get(f"{server_url}/ohif/{mode}?StudyInstanceUIDs={study_uid}")
    wait(browser, lambda: "/62)" in text_of(browser))
    time.sleep(SETTLE_S)
    for button in browser.find_elements("xpath", "//button[contains(., 'Confirm and Hide')]"):
        button.click()  # "for investigational use only", at the first visit
    if len(browser.find_elements("css selector", VIEWPORTS)) > 1:
        axial = browser.find_elements("css selector", VIEWPORTS)[0]
        webdriver.ActionChains(browser).double_click(axial).perform()
        wait(browser, lambda: len(browser.find_elements("css selector", VIEWPORTS)) == 1 and "/62)" in text_of(browser))
        time.sleep(SETTLE_S)


def text_of(browser: Any) -> str:
    return str(browser.find_element("tag name", "body").text)


def connect(browser: Any, server_url: str) -> None:
    """Tell the panel where the server is; it expects port 8000."""
    field = wait(browser, lambda: browser.find_element("id", "monailabelServerURL"))
    field.send_keys(webdriver.Keys.CONTROL + "a")
    field.send_keys(f"{server_url}/")
    browser.find_element("css selector", ".settingsTable button").click()
    wait(browser, lambda: "Auto-Segmentation" in text_of(browser))


def run_model(browser: Any) -> None:
    """Press Run, and wait until the viewer has the mask."""
    (button,) = browser.find_elements("css selector", "button[title='Run Segmentation']")
    button.click()
    wait(browser, lambda: browser.execute_script(MASK_IN_VIEWER), INFERENCE_S)


def coloured_shares(browser: Any, mask: np.ndarray, affine: np.ndarray, keep: Path) -> tuple[float, float]:
    """Return how much of the mask and of its surroundings is coloured on screen, in the slice with most of the mask.

    Args:
        browser: that shows the study.
        mask: boolean (X, Y, Z) of an axial scan.
        affine: to RAS+ mm.
        keep: file for the screenshot.
    """
    index = int(mask.sum(axis=(0, 1)).argmax())
    inside = mask[:, :, index]
    outside = ndimage.distance_transform_edt(~inside, sampling=spacing_of(affine)[:2]) > DISTANCE_MM
    places = [places_mm(np.argwhere(area), index, affine) for area in (inside, outside)]
    browser.execute_script(SHOW_PLANE, places[0][0])
    shares = (0.0, 0.0)
    until = time.monotonic() + PATIENCE_S
    while shares[0] < 0.5 and time.monotonic() < until:
        time.sleep(SETTLE_S)
        keep.write_bytes(browser.get_screenshot_as_png())
        picture = imread(io.BytesIO(keep.read_bytes()))
        pixels = [np.array(browser.execute_script(PIXELS_OF, area)).astype(int) for area in places]
        shares = tuple(coloured(picture[y, x]) for x, y in (on_screen(area, picture).T for area in pixels))
    return shares


def places_mm(pixels: np.ndarray, index: int, affine: np.ndarray) -> list[list[float]]:
    """Return the places of pixels of a slice in LPS mm, which DICOM's world and the viewer's is."""
    voxels = np.column_stack([pixels, np.full(len(pixels), index), np.ones(len(pixels))])
    return (voxels @ (LPS_TO_RAS @ affine).T)[:, :3].tolist()


def on_screen(pixels: np.ndarray, picture: np.ndarray) -> np.ndarray:
    return pixels[((pixels >= 0) & (pixels < picture.shape[1::-1])).all(axis=1)]


def coloured(values: np.ndarray) -> float:
    """Return the share of (N, 3 or 4) pixels that are redder than blue; CT is grey."""
    return float((values[:, 0] - values[:, 2] > 0.15).mean())


@pytest.fixture(scope="module")
def model_run(browser, pacs_server, rendered) -> Any:
    open_study(browser, pacs_server.url, "monai-label", rendered.study_uid)
    connect(browser, pacs_server.url)
    run_model(browser)
    return browser


def test_the_panel_offers_the_model(model_run):
    (option, *_) = model_run.find_elements("css selector", ".modelSelector option")
    assert option.get_attribute("value") == NAME
    assert "pancreas" in model_run.execute_script(NAMES_IN_VIEWER)


def test_the_mask_in_the_viewer_is_the_servers_voxel_by_voxel(model_run, server_mask):
    voxels, affine = mask_of(server_mask)
    places = np.array(model_run.execute_script(MASK_IN_VIEWER))
    indices = (places - (LPS_TO_RAS @ affine)[:3, 3]) @ np.linalg.inv((LPS_TO_RAS @ affine)[:3, :3]).T
    assert np.abs(indices - indices.round()).max() < 0.01
    assert set(map(tuple, indices.round().astype(int).tolist())) == voxels


def test_the_mask_lies_over_the_ct_on_screen(model_run, server_mask, tmp_path):
    image = nib.load(server_mask)
    inside, outside = coloured_shares(model_run, np.asanyarray(image.dataobj) == 1, image.affine, tmp_path / "ohif.png")
    assert inside > 0.9
    assert outside < 0.01


def test_our_segmentation_opens_and_lies_over_the_ct(browser, pacs, pacs_server, rendered, tmp_path):
    scan = read_scan(rendered.dicom)
    affine = np.asarray(scan.affine, dtype=float)
    mask = np.zeros(scan.shape[1:], dtype=bool)
    mask[tuple(np.array(sorted(mask_of(rendered.truth, affine)[0])).T)] = True
    path = tmp_path / "segmentation.dcm"
    write_seg(MetaTensor(torch.from_numpy(mask)[None], affine=scan.affine), dicom_source(scan.meta), path)
    pacs.client().store_instances([pydicom.dcmread(path)])

    open_study(browser, pacs_server.url, "viewer", rendered.study_uid)
    (series,) = browser.find_elements("xpath", "//*[starts-with(text(), 'Pancreas segmentation')]")
    webdriver.ActionChains(browser).double_click(series).perform()
    yes = wait(browser, lambda: browser.find_element("css selector", "[data-cy=yes-hydrate-btn]"))
    browser.execute_script("arguments[0].click()", yes)
    wait(browser, lambda: "Pancreas" in browser.execute_script(NAMES_IN_VIEWER))
    panel = wait(browser, lambda: browser.find_element("css selector", "[data-cy=panelSegmentation-btn]"))
    browser.execute_script("arguments[0].click()", panel)
    wait(browser, lambda: browser.find_elements("xpath", "//*[text()='Pancreas']"))
    inside, outside = coloured_shares(browser, mask, affine, tmp_path / "ohif_seg.png")
    assert inside > 0.9
    assert outside < 0.01

from __future__ import annotations

import base64
import gzip
import json
import pickle
import re
import struct
from dataclasses import dataclass
from html.parser import HTMLParser

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from bundle.write.html import SaveHtmld, report_page, write_index, write_report_page
from bundle.write.html.embedding import script_hash
from bundle.write.html.niivue import NiiVue, _embedded_module, find_niivue
from bundle.write.html.pages import resource
from bundle.write.html.pictures import Volume, gland_pictures, slice_pictures
from bundle.write.html.surface import FROM_THE_FEET, FROM_THE_FRONT, render_gland, render_in_body, surface_mesh
from bundle.write.html.volumes import MAX_REGION_VOXELS, MAX_WHOLE_VOXELS, averaged, coarsening, surface_file, views
from bundle.write.html.words import findings_of, key_numbers, measurements, quantity, reason_of

# LPS, as from DICOM; voxels of 2 x 2 x 4 mm; the corner voxel lies at (30, 40, -50) mm
AFFINE = np.array([[-2.0, 0, 0, 30], [0, -2, 0, 40], [0, 0, 4, -50], [0, 0, 0, 1]])

REPORT = {
    "case": "a",
    "outcome": "ok",
    "reason": "",
    "volume_ml": 2.56,
    "input_file": "/data/Mustermann/a.nii.gz",
    "shape": [24, 20, 16],
    "spacing_mm": [2.0, 2.0, 4.0],
    "seconds": {"read": 0.5, "segment": 2.25},
    "versions": {"bundle": "0.3.0"},
    "measurements": {"volume_ml": 2.56, "mean_hu": -12.4, "fat_fraction": 0.203, "length_mm": 158.66, "pieces": 1},
    "predicted_dice": 0.873,
}


@dataclass(frozen=True)
class Row:
    case: str
    outcome: str
    reason: str = ""


def volume(voxels: np.ndarray) -> MetaTensor:
    return MetaTensor(torch.from_numpy(voxels)[None], affine=torch.from_numpy(AFFINE))


def scan_and_mask(filled: bool = True) -> tuple[MetaTensor, MetaTensor]:
    voxels = np.full((24, 20, 16), -1000, dtype=np.int16)
    voxels[2:22, 2:18] = 40
    inside = np.zeros(voxels.shape, dtype=np.uint8)
    if filled:
        inside[8:18, 8:12, 4:8] = 1  # 160 voxels of 16 mm3
    return volume(voxels), volume(inside)


class Elements(HTMLParser):
    """Collects what a page holds: attributes by element, and all visible text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.attributes: list[tuple[str, str, str]] = []
        self.words: list[str] = []
        self._inside: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag in ("script", "style"):
            self._inside.append(tag)

    def handle_endtag(self, tag):
        if self._inside and self._inside[-1] == tag:
            self._inside.pop()

    def handle_data(self, data):
        if not self._inside:
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def all(self, tag: str, name: str) -> list[str]:
        return [value for t, n, value in self.attributes if (t, n) == (tag, name)]


def page_of(tmp_path, report=REPORT, filled=True, **changes) -> tuple[str, Elements]:
    path = tmp_path / "report.html"
    write_report_page({**report, **changes}, path, *scan_and_mask(filled))
    page = path.read_text(encoding="utf-8")
    return page, Elements(page)


@pytest.fixture(autouse=True)
def small_pictures(monkeypatch):
    monkeypatch.setattr("bundle.write.html.pictures._DPI", 30)  # what they show is looked at elsewhere


@pytest.fixture
def without_niivue(monkeypatch):
    def missing():
        raise LookupError("it is not there")

    monkeypatch.setattr(report_page, "find_niivue", missing)


@pytest.fixture
def with_niivue(monkeypatch):
    made_up = NiiVue("1.2.3", "export{Niivue,NVImage,NVMesh};", "Licence <of> NiiVue")
    monkeypatch.setattr(report_page, "find_niivue", made_up_of(made_up))


def made_up_of(value):
    return lambda: value


def test_the_page_tells_outcome_and_numbers_with_their_units(tmp_path, without_niivue):
    _, page = page_of(tmp_path)
    assert "For research, not for diagnosis." in page.text
    assert "Pancreas outlined ok" in page.text
    for shown in ("Volume 2.6 ml", "Mean attenuation −12 HU", "Fat share 20.3 %", "Length 158.7 mm", "Dice 0.87"):
        assert shown in page.text
    assert "24 × 20 × 16" in page.text


def test_pictures_have_a_description_and_are_in_the_page(tmp_path, without_niivue):
    _, page = page_of(tmp_path)
    assert len(page.all("img", "src")) == 6 + 3
    assert all(source.startswith("data:image/") for source in page.all("img", "src"))
    assert all("slice" in text or "outlined gland" in text.lower() for text in page.all("img", "alt"))


def test_nothing_is_loaded_from_elsewhere(tmp_path, with_niivue):
    page, elements = page_of(tmp_path)
    addresses = [value for _, name, value in elements.attributes if name in ("src", "href", "srcset", "data", "action")]
    assert addresses
    assert all(value.startswith("data:") for value in addresses)
    assert "@import" not in resource("style.css") and "url(" not in resource("style.css")
    policy = elements.all("meta", "content")[0]
    assert "default-src 'none'" in policy and "http" not in policy


def test_the_page_may_run_its_own_script_only(tmp_path, with_niivue):
    page, elements = page_of(tmp_path)
    script = re.search(r'<script type="module">(.*?)</script>', page, re.DOTALL)[1]
    assert script_hash(script) in elements.all("meta", "content")[0]


def test_names_are_shown_as_they_are_and_never_run(tmp_path, with_niivue):
    evil = "<script>alert(1)</script>"
    page, elements = page_of(
        tmp_path,
        case=evil,
        outcome=evil,
        reason=evil,
        input_file=f"/data/{evil.replace('/', '')}",
        findings=[{"name": evil, "severity": evil, "text": evil}],
        measurements={evil: 1.0},
        versions={evil: evil},
        weights_sha256={evil: evil},
    )
    assert evil not in page
    assert page.count("<script") == 2 + 2 + 1 + 1 + 1  # both views, surface, NiiVue, ours
    assert elements.text.lower().count(evil) >= 6


def test_folders_on_the_way_to_the_scan_stay_private(tmp_path, without_niivue):
    page, elements = page_of(tmp_path, reason="/data/Mustermann/a.nii.gz: a rule; received 3. A remedy.")
    assert "Mustermann" not in page
    assert "a.nii.gz: a rule" in elements.text


def test_an_empty_mask_has_a_page_without_gland(tmp_path, with_niivue):
    reason = "no pancreas above the threshold"
    page, elements = page_of(tmp_path, filled=False, outcome="not_found", reason=reason, volume_ml=0.0, measurements={})
    assert "Pancreas not found" in elements.text and "No pancreas above the threshold." in elements.text
    assert "Nothing is outlined." in elements.text
    assert len(elements.all("img", "src")) == 6
    assert elements.all("option", "value")[0] == "whole" and "region" not in elements.all("option", "value")
    assert '<script type="application/octet-stream" id="surface"></script>' in page


def test_a_report_without_new_keys_has_a_page(tmp_path, without_niivue):
    path = tmp_path / "report.html"
    old = {"case": "a", "outcome": "ok", "volume_ml": 2.56}
    write_report_page(old, path, *scan_and_mask())
    assert "2.6 ml" in Elements(path.read_text(encoding="utf-8")).text
    nulls = {**old, "measurements": None, "findings": None, "predicted_dice": None, "seconds": None, "reason": None}
    write_report_page(nulls, path, *scan_and_mask())
    assert "None" not in Elements(path.read_text(encoding="utf-8")).text


def test_a_refused_scan_has_a_page_without_pictures(tmp_path):
    path = tmp_path / "report.html"
    reason = "/x/b.nii.gz: a scan has three dimensions; received 4. Split it."
    report = {"case": "b", "outcome": "invalid_input", "reason": reason, "volume_ml": None, "input_file": "/x/b.nii.gz"}
    write_report_page(report, path)
    page = Elements(path.read_text(encoding="utf-8"))
    assert "Scan cannot be used" in page.text and "three dimensions" in page.text
    assert not page.all("img", "src") and not page.all("canvas", "id")


def test_without_niivue_the_page_says_so_and_is_complete(tmp_path, without_niivue):
    page, elements = page_of(tmp_path)
    assert "left out of this page: it is not there." in elements.text
    assert "<script" not in page and "script-src 'none'" in elements.all("meta", "content")[0]
    assert len(elements.all("img", "src")) == 9


def test_the_licence_of_niivue_goes_with_it(tmp_path, with_niivue):
    _, elements = page_of(tmp_path)
    assert "NiiVue 1.2.3" in elements.text and "Licence <of> NiiVue" in elements.text


def test_the_installed_niivue_is_found():
    try:
        found = find_niivue()
    except LookupError as missing:
        pytest.skip(str(missing))
    assert re.fullmatch(r"\d+\.\d+\.\d+.*", found.version)
    assert "Redistribution" in found.licence
    assert len(found.module) > 1_000_000


def test_the_module_is_cut_out_of_the_notebooks_script():
    module = "var Niivue=1,NVImage=2,NVMesh='a b';export{Niivue,NVImage,NVMesh};"
    encoded = module.replace(" ", "%20").replace("'", "%27").replace(";", "%3B").replace(",", "%2C").replace("=", "%3D")
    encoded = encoded.replace("{", "%7B").replace("}", "%7D")
    script = f'var x=1,q7="{encoded}";case 1:{{nv.saveHTML(a,b,decodeURIComponent(q7));break}}'
    assert _embedded_module(script) == module
    with pytest.raises(ValueError, match="export"):
        _embedded_module(script.replace("NVMesh%7D", "Other%7D"))
    with pytest.raises(ValueError, match="use"):
        _embedded_module("var x=1")


def test_findings_come_gravest_first():
    findings = [{"severity": "note", "text": "n"}, {"severity": "refusal", "name": "no_text"}, {"severity": "warning"}]
    assert [(f["label"], f["text"]) for f in findings_of({"findings": findings})] == [
        ("Refused", "No text."),
        ("Warning", ""),
        ("Note", "N."),
    ]


@pytest.mark.parametrize(
    ("key", "value", "name", "shown", "unit"),
    [
        ("volume_ml", 63.04, "Volume", "63.0", "ml"),
        ("something_new_mm", 3.14159, "Something new", "3.1", "mm"),
        ("surface_lobularity_mm", 0.2512, "Surface lobularity", "0.25", "mm"),
        ("new_fraction", 0.0521, "New", "5.2", "%"),
        ("fat_fraction_undilated", 0.113, "Fat share within the outline", "11.3", "%"),
        ("pieces", 2.0, "Separate pieces", "2", ""),
        ("index", 0.012345, "Index", "0.0123", ""),
        ("delta_hu", -0.2, "Delta", "0", "HU"),
    ],
)
def test_a_measurement_is_named_and_rounded_by_its_key(key, value, name, shown, unit):
    found = quantity(key, value)
    assert (found.name, found.value, found.unit) == (name, shown, unit)


def test_values_that_are_missing_are_left_out():
    report = {"volume_ml": None, "measurements": {"mean_hu": None, "sd_hu": float("nan"), "length_mm": 3.0}}
    assert [q.name for q in key_numbers(report)] == ["Length"]
    assert [q.name for q in measurements(report)] == ["Length along the centre-line"]


def test_coordinates_of_a_point_share_a_row():
    report = {"measurements": {"centroid_x_mm": 1.0, "centroid_y_mm": -2.0, "centroid_z_mm": 3.0}}
    assert [(q.name, q.value, q.unit) for q in measurements(report)] == [("Centre, RAS", "x 1.0, y −2.0, z 3.0", "mm")]


def test_a_reason_is_a_sentence():
    assert reason_of({"reason": "the mask is empty"}) == "The mask is empty."
    assert reason_of({"reason": "/x/a.nii: a rule", "input_file": "/x/a.nii"}) == "a.nii: a rule."
    assert reason_of({}) == ""


def unpacked(text: str) -> nib.Nifti1Image:
    return nib.Nifti1Image.from_bytes(gzip.decompress(base64.b64decode(text)))


def test_the_embedded_region_is_the_scan_where_the_mask_is():
    scan, mask = scan_and_mask()
    scan[0, 9, 10, 5] = 201
    seen = Volume.of(scan, mask)
    region = views(seen.voxels, seen.inside, seen.affine)[0]
    ct, inside = unpacked(region.ct), unpacked(region.mask)
    corner = np.argwhere(np.asarray(ct.dataobj) > 150)[0]
    np.testing.assert_allclose(nib.affines.apply_affine(ct.affine, corner), AFFINE[:3, :3] @ (9, 10, 5) + AFFINE[:3, 3])
    assert abs(ct.dataobj[tuple(corner)] - 201) <= 1  # steps of 2 HU
    assert np.count_nonzero(np.asarray(inside.dataobj)) == 160
    assert ct.shape == inside.shape and ct.get_data_dtype() == np.uint8
    assert nib.aff2axcodes(ct.affine) == ("R", "A", "S")


def test_the_view_begins_inside_the_mask():
    seen = Volume.of(*scan_and_mask())
    for view in views(seen.voxels, seen.inside, seen.affine):
        inside = np.asarray(unpacked(view.mask).dataobj)
        assert inside[tuple(int(share * n) for share, n in zip(view.start, inside.shape))]


def test_nothing_of_the_header_is_embedded():
    seen = Volume.of(*scan_and_mask())
    header = unpacked(views(seen.voxels, seen.inside, seen.affine)[0].ct).header
    assert not any(bytes(header[name]).strip(b"\0") for name in ("descrip", "db_name", "aux_file", "intent_name"))


@pytest.mark.parametrize(
    ("size", "spacing_mm", "most", "target_mm", "factors"),
    [
        ((10, 10, 10), (1, 1, 1), 1000, 0, (1, 1, 1)),
        ((10, 10, 10), (1, 1, 4), 500, 0, (2, 1, 1)),
        ((10, 10, 10), (1, 1, 4), 250, 0, (2, 2, 1)),
        ((512, 512, 100), (0.7, 0.7, 5), 10**9, 2.5, (3, 3, 1)),
        ((1, 1, 10), (0.1, 0.1, 1), 5, 0, (1, 1, 2)),
    ],
)
def test_the_finest_axis_is_coarsened_first(size, spacing_mm, most, target_mm, factors):
    assert coarsening(size, spacing_mm, most, target_mm) == factors


def test_blocks_are_averaged_and_an_incomplete_one_left_out():
    line = np.array([1, 3, 5, 7, 100], dtype=np.int16).reshape(5, 1, 1)
    assert averaged(line, (2, 1, 1)).ravel().tolist() == [2, 6]


def test_averaged_voxels_lie_where_their_block_lies(monkeypatch):
    monkeypatch.setattr("bundle.write.html.volumes.WHOLE_SPACING_MM", 4.0)
    seen = Volume.of(*scan_and_mask())
    whole = unpacked(views(seen.voxels, seen.inside, seen.affine)[1].ct)
    assert whole.shape == (12, 10, 16)
    np.testing.assert_allclose(whole.affine[:3, 3], seen.affine[:3, :3] @ (0.5, 0.5, 0) + seen.affine[:3, 3])


def test_a_page_stays_below_16_megabytes():
    niivue_and_pictures = 2_200_000
    assert (MAX_REGION_VOXELS + MAX_WHOLE_VOXELS) * 4 / 3 + niivue_and_pictures < 16_000_000


def test_scan_and_mask_of_other_grids_are_refused(tmp_path):
    scan, mask = scan_and_mask()
    with pytest.raises(ValueError, match="share one grid"):
        write_report_page(REPORT, tmp_path / "report.html", scan, mask[:, :-1])
    assert not (tmp_path / "report.html").exists()


def ball(radius: float = 9.0) -> np.ndarray:
    grid = np.indices((25, 25, 25)) - 12
    return (grid**2).sum(axis=0) <= radius**2


@pytest.mark.parametrize("sign", [1, -1])
def test_the_surface_lies_in_the_world_and_faces_outwards(sign):
    affine = np.array([[sign, 0, 0, 100.0], [0, 1, 0, 200], [0, 0, 1, -300], [0, 0, 0, 1]])
    vertices_mm, triangles = surface_mesh(ball(), affine)
    np.testing.assert_allclose(vertices_mm.mean(axis=0), [100 + 12 * sign, 212, -288], atol=0.3)
    a, b, c = (vertices_mm[triangles[:, k]] - vertices_mm.mean(axis=0) for k in range(3))
    volume_mm3 = np.einsum("ij,ij->i", a, np.cross(b, c)).sum() / 6
    assert volume_mm3 == pytest.approx(np.count_nonzero(ball()), rel=0.05)


def test_the_surface_file_is_mz3():
    content = gzip.decompress(base64.b64decode(surface_file(ball(), np.eye(4))))
    magic, kind, triangles, vertices, skip = struct.unpack("<2sHIII", content[:16])
    assert (magic, kind, skip) == (b"MZ", 3, 0)
    assert len(content) == 16 + 12 * triangles + 12 * vertices
    assert surface_file(np.zeros((3, 3, 3), dtype=bool), np.eye(4)) == ""


@pytest.mark.parametrize(("direction", "top"), [(FROM_THE_FRONT, 2), (FROM_THE_FEET, 1)])
def test_the_patients_right_is_on_the_left_of_the_picture(direction, top):
    inside = np.zeros((30, 30, 30), dtype=bool)
    inside[:, 12:18, 12:18] = True  # a bar from left to right
    end: list = [slice(12, 18)] * 3
    end[0], end[top] = slice(24, 30), slice(12, 30)  # and at its right end up to the top
    inside[tuple(end)] = True
    picture, _ = render_gland(inside, (1, 1, 1), direction)
    drawn = picture.min(axis=2) < 0.9
    rows, columns = drawn.shape
    assert drawn[: rows // 3, : columns // 2].any() and not drawn[: rows // 3, columns // 2 :].any()


def test_the_gland_is_seen_among_the_bones():
    voxels = np.full((30, 30, 30), 40, dtype=np.int16)
    voxels[:, 3:8] = 600  # behind the gland
    picture, _ = render_in_body(voxels, np.pad(ball(5)[7:18, 7:18, 7:18], ((9, 10), (15, 4), (9, 10))), (1.5, 1.5, 1.5))
    colour = picture[15, 15]
    assert colour[0] > 1.5 * colour[2]  # yellow
    corner = picture[3, 3]
    assert abs(corner[0] - corner[2]) < 0.1 and corner[0] < 0.95  # grey


def test_slices_are_named_by_plane_and_place():
    pictures = slice_pictures(Volume.of(*scan_and_mask()))
    assert [picture.caption.split(",")[0] for picture in pictures].count("Axial") == 4
    assert all("of 16 from the feet" in p.caption for p in pictures if p.caption.startswith("Axial"))
    assert gland_pictures(Volume.of(*scan_and_mask(filled=False))) == []


def test_the_transform_writes_into_the_cases_folder(tmp_path, without_niivue):
    scan, mask = scan_and_mask()
    transform = pickle.loads(pickle.dumps(SaveHtmld("pred", tmp_path)))
    transform({"image": scan, "pred": mask, "case": "a", "report": REPORT})
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["report.html"]
    with pytest.raises(ValueError, match="SaveReportd"):
        transform({"image": scan, "pred": mask, "case": "a"})


def write_case(folder, case: str, page: bool = True, **report) -> None:
    (folder / case).mkdir(parents=True)
    (folder / case / "report.json").write_text(json.dumps({"case": case, **report}), encoding="utf-8")
    if page:
        (folder / case / "report.html").write_text("", encoding="utf-8")


def index_of(folder, rows=()) -> Elements:
    write_index(folder, rows)
    return Elements((folder / "index.html").read_text(encoding="utf-8"))


def test_the_index_lists_every_study_with_link_and_outcome(tmp_path):
    findings = [{"severity": "warning", "text": "metal"}, {"severity": "note", "text": "thick"}]
    write_case(tmp_path, "a", outcome="ok", volume_ml=63.04, findings=findings)
    write_case(tmp_path, "b", outcome="not_found", reason="nothing there", volume_ml=0.0)
    write_case(tmp_path, "c", page=False, outcome="invalid_input", reason="/x/c.nii: rule", input_file="/x/c.nii")
    page = index_of(tmp_path)
    assert page.all("a", "href") == ["a/report.html", "b/report.html"]
    for shown in ("3 studies", "63.0 ml", "Pancreas outlined", "Pancreas not found", "Nothing there.", "Scan cannot"):
        assert shown in page.text
    assert "/x/" not in page.text
    assert "Metal." in page.text and "Thick" not in page.text


def test_the_index_lists_what_has_no_folder(tmp_path):
    write_case(tmp_path, "a", outcome="ok")
    page = index_of(tmp_path, [Row("a", "ok"), Row("localizer", "skipped", "two slices")])
    assert "2 studies" in page.text and "Left out" in page.text and "Two slices." in page.text


def test_addresses_in_the_index_are_quoted_and_names_escaped(tmp_path):
    write_case(tmp_path, "50% <b>#1?", outcome="ok")
    page = index_of(tmp_path)
    assert page.all("a", "href") == ["50%25%20%3Cb%3E%231%3F/report.html"]
    assert "50% <b>#1?" in page.text


def test_other_files_named_report_are_not_listed(tmp_path):
    for case, content in (("x", "[1]"), ("y", "{"), ("z", '{"a": 1}')):
        (tmp_path / case).mkdir()
        (tmp_path / case / "report.json").write_text(content, encoding="utf-8")
    assert "There are no results in this folder." in index_of(tmp_path).text

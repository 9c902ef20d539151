"""The application for MONAI Deploy: what it decides without the SDK, and a run with it where it is installed."""

from __future__ import annotations

import json
import logging
import os
import re
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import highdicom
import numpy as np
import pydicom
import pytest

import bundle
from bundle.deploy import chosen_series, exit_code, nothing_to_segment, segment_study
from bundle.errors import InputError
from bundle.rendering.dataset import plan_scans, write_dataset
from bundle.rendering.scanner import ScannerSettings
from bundle.segmentation.study import Study
from tests.dicom_phantoms import write_series, write_slice

ROOT = Path(__file__).parents[1]
PYTHON = Path(os.environ.get("PANCREAS_DEPLOY_PYTHON", ROOT / ".venv-deploy" / "bin" / "python"))

AXIAL, CORONAL, SCOUT = "1.2.3.1", "1.2.3.2", "1.2.3.3"
CORONAL_PLANE = {"ImageOrientationPatient": [1, 0, 0, 0, 0, -1]}


@dataclass
class Said:
    """As much of a result as is asked for."""

    report: dict


@dataclass
class Fake:
    """A segmenter that says ``outcome``, or raises it."""

    output_dir: Path
    outcome: str | Exception = "ok"
    seen: list[Study] = field(default_factory=list)

    def run(self, study: Study) -> Said:
        self.seen.append(study)
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return Said({"case": study.case, "outcome": self.outcome, "reason": "", "volume_ml": 80.0})


def files_of(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.rglob("*")) if path.is_file()]


@pytest.fixture
def axial(tmp_path) -> dict[str, list[Path]]:
    return {AXIAL: files_of(write_series(tmp_path / "study" / "axial", SeriesInstanceUID=AXIAL))}


def report_in(folder: Path) -> dict:
    return json.loads((folder / "report.json").read_text())


def test_the_axial_ct_is_segmented(axial, tmp_path):
    scout = write_series(
        tmp_path / "study" / "scout", 1, SeriesInstanceUID=SCOUT, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"]
    )
    study = chosen_series({SCOUT: files_of(scout), **axial})
    assert (study.case, study.series_uid, study.image) == (AXIAL, AXIAL, str(tmp_path / "study" / "axial"))


def test_the_log_says_why_a_series_is_left_out(axial, tmp_path, caplog):
    scout = write_series(
        tmp_path / "study" / "scout", 1, SeriesInstanceUID=SCOUT, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"]
    )
    with caplog.at_level(logging.INFO, "bundle.deploy"):
        chosen_series({SCOUT: files_of(scout), **axial})
    assert "1 file is not segmented: a localizer" in caplog.text


def test_only_selected_series_count(axial, tmp_path):
    longer = write_series(tmp_path / "study" / "longer", 20, SeriesInstanceUID=CORONAL)
    assert chosen_series(axial).series_uid == AXIAL
    assert chosen_series({CORONAL: files_of(longer), **axial}).series_uid == CORONAL


# As the SDK's loader hands it on: of two slices at one place it keeps one.
def test_slices_that_the_loader_dropped_count_against_a_series(axial, tmp_path):
    other = write_series(tmp_path / "study" / "other", 8, SeriesInstanceUID=CORONAL)
    first = axial[AXIAL][0].parent
    write_slice(first, 3, SeriesInstanceUID=AXIAL, AcquisitionNumber=2, RescaleIntercept=-1000)
    assert chosen_series({CORONAL: files_of(other), **axial}).series_uid == CORONAL


def test_results_go_to_a_folder_named_after_the_series(axial, tmp_path):
    fake = Fake(tmp_path / "out")
    assert segment_study(fake, "1.2.3", axial)["outcome"] == "ok"
    assert [study.case for study in fake.seen] == [AXIAL]


def test_a_uid_is_no_path(tmp_path):
    folder = write_series(tmp_path / "study", SeriesInstanceUID="1.2.3")
    fake = Fake(tmp_path / "out")
    segment_study(fake, "../../up", {"9.9": files_of(folder)})
    assert [path.parent.parent for path in tmp_path.rglob("report.json")] == [tmp_path / "out"]


def test_a_study_without_ct_gets_a_report(tmp_path):
    folder = write_series(tmp_path / "study", 1, SeriesInstanceUID=SCOUT, Modality="MR")
    report = segment_study(Fake(tmp_path / "out"), "1.2.3", {SCOUT: files_of(folder)})
    assert report == report_in(tmp_path / "out" / "1.2.3")
    assert report["outcome"] == "invalid_input" and "the scan is a CT series" in report["reason"]


def test_a_series_that_is_refused_gets_a_report(axial, tmp_path):
    segment_study(Fake(tmp_path / "out", InputError("a slice is missing")), "1.2.3", axial)
    report = report_in(tmp_path / "out" / AXIAL)
    assert (report["outcome"], report["reason"]) == ("invalid_input", "a slice is missing")


def test_an_unexpected_error_gets_a_report_and_a_traceback_in_the_log(axial, tmp_path, caplog):
    segment_study(Fake(tmp_path / "out", RuntimeError("no such kernel")), "1.2.3", axial)
    report = report_in(tmp_path / "out" / AXIAL)
    assert (report["outcome"], report["reason"]) == ("failed", "RuntimeError: no such kernel")
    assert "Traceback" in caplog.text


def test_the_report_of_a_failure_replaces_older_results(axial, tmp_path):
    older = tmp_path / "out" / AXIAL / "segmentation.dcm"
    older.parent.mkdir(parents=True)
    older.write_bytes(b"of another day")
    segment_study(Fake(tmp_path / "out", InputError("a slice is missing")), "1.2.3", axial)
    assert not older.exists()


def test_the_log_tells_outcome_and_volume(axial, tmp_path, caplog):
    segment_study(Fake(tmp_path / "out", "low_confidence"), "1.2.3", axial)
    assert caplog.messages == [f"{AXIAL}: low_confidence, 80.0 ml"]


def test_an_empty_input_gets_a_report(tmp_path):
    nothing_to_segment(tmp_path / "in", tmp_path / "out")
    assert report_in(tmp_path / "out")["outcome"] == "invalid_input"


@pytest.mark.parametrize(
    ("outcomes", "code"),
    [(["ok"], 0), (["low_confidence", "not_found"], 0), (["ok", "invalid_input"], 2), (["failed"], 2), ([], 2)],
)
def test_exit_code_tells_whether_every_study_has_results(outcomes, code):
    assert exit_code([{"outcome": outcome} for outcome in outcomes]) == code


def test_the_packages_version_is_the_bundles():
    text = (ROOT / "bundle" / "deploy" / "app.yaml").read_text()
    assert re.findall(r"^  version: (.*)$", text, re.MULTILINE) == [bundle.__version__]


def test_the_sdk_is_pinned():
    lines = (ROOT / "requirements-deploy.txt").read_text().split()
    assert lines == sorted(lines) and all(re.fullmatch(r"[a-z0-9-]+==[0-9.]+", line) for line in lines)


def run_app(studies: Path, output: Path) -> subprocess.CompletedProcess[str]:
    if not PYTHON.is_file():
        pytest.skip(f"no environment with the MONAI Deploy App SDK: {PYTHON} (docs/deploy.md)")
    command = [str(PYTHON), "-m", "bundle.deploy", "-i", str(studies), "-o", str(output)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_the_application_segments_a_dicom_study(tmp_path):
    settings = ScannerSettings(in_plane_spacing_mm=(1.4, 1.5), slice_thickness_mm=(5.0, 5.0))
    (order,) = orders = plan_scans(1, seed=1, settings=settings, dicom=True)
    write_dataset(tmp_path / "data", orders)
    scan = tmp_path / "data" / "dicom" / order.name
    header = pydicom.dcmread(next(scan.iterdir()), stop_before_pixels=True)
    run = run_app(scan, tmp_path / "out")
    assert run.returncode == 0, run.stderr
    folder = tmp_path / "out" / header.SeriesInstanceUID
    report = report_in(folder)
    segmentation = highdicom.seg.segread(folder / "segmentation.dcm")
    mask = segmentation.get_volume(combine_segments=True)
    voxel_ml = np.abs(np.linalg.det(mask.affine[:3, :3])) / 1000
    assert segmentation.StudyInstanceUID == header.StudyInstanceUID
    assert np.count_nonzero(mask.array) * voxel_ml == pytest.approx(report["volume_ml"], abs=0.01)
    assert report["volume_ml"] > 10
    assert (folder / "measurements.dcm").is_file()
    assert f"{header.SeriesInstanceUID}: {report['outcome']}, {report['volume_ml']:.1f} ml" in run.stderr


@pytest.mark.slow
def test_the_application_says_that_there_is_no_study(tmp_path):
    (tmp_path / "in").mkdir()
    run = run_app(tmp_path / "in", tmp_path / "out")
    assert (run.returncode, report_in(tmp_path / "out")["outcome"]) == (2, "invalid_input")

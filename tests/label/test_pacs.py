"""Studies go from Orthanc through the bundle and back as segmentation and report, by the commands of docs/pacs.md."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import highdicom
import pydicom
import pytest
from dicomweb_client import DICOMwebClient

from bundle.segmentation.study import find_inputs
from tests.label.masks import dice, mask_of, voxels_of
from tests.label.orthanc import CALLED, RECIPES, USER, Pacs, orthanc
from tests.label.server import PYTHON as LABEL_PYTHON

pytestmark = pytest.mark.label

ROOT = Path(__file__).parents[2]
DATA = Path(os.environ.get("PANCREAS_DATA", ROOT.parent / "shared" / "data"))
VOLUME, PANCREAS = "118565006", "15776009"  # SNOMED CT


WAYS = [
    ("rendered", "## Over DICOMweb"),
    ("rendered", "## Over DICOM's own protocol"),
    ("ircadb01", "## Over DICOMweb"),
]


@dataclass(frozen=True)
class RoundTrip:
    """A study in a PACS after a recipe of docs/pacs.md was run on it.

    Attributes:
        pacs: where it is.
        folder: where the recipe was run.
        sent: the study's own files.
        study_uid, series_uid: what DICOM calls it.
    """

    pacs: Pacs
    folder: Path
    sent: list[Path]
    study_uid: str
    series_uid: str

    @property
    def results(self) -> Path:
        (folder,) = (path for path in (self.folder / "results").iterdir() if path.is_dir())
        return folder

    def fetched(self, modality: str) -> pydicom.Dataset:
        """Return the one object of this kind in the study, as the PACS gives it."""
        client = self.pacs.client()
        (series,) = client.search_for_series(self.study_uid, search_filters={"Modality": modality})
        (dataset,) = client.retrieve_series(self.study_uid, series["0020000E"]["Value"][0])
        return dataset


@pytest.fixture(scope="module", params=WAYS, ids=["web", "dicom", "web-ircadb01"])
def round_trip(request, rendered, tmp_path_factory) -> Iterator[RoundTrip]:
    source, recipe = request.param
    folder = tmp_path_factory.mktemp("recipe")
    files = sorted(rendered.dicom.iterdir()) if source == "rendered" else ircadb01(folder / "ircadb01")
    need("bash", *(["getscu", "dcmsend"] if "getscu" in commands_of(recipe) else []))
    header = pydicom.dcmread(files[0], stop_before_pixels=True)
    with orthanc(folder / "orthanc") as pacs:
        answer = pacs.client().store_instances([pydicom.dcmread(file) for file in files])
        assert not answer.get("FailedSOPSequence")
        run(commands_of(recipe), pacs, str(header.StudyInstanceUID), folder)
        yield RoundTrip(pacs, folder, files, str(header.StudyInstanceUID), str(header.SeriesInstanceUID))


def commands_of(recipe: str) -> str:
    """Return the commands of a chapter that fetch, segment and send."""
    chapter = RECIPES.read_text(encoding="utf-8").split(f"\n{recipe}\n")[1].split("\n## ")[0]
    (commands,) = (block for block in chapter.split("```")[1::2] if "bundle segment" in block)
    return commands


def definition_of_pacs() -> str:
    (line,) = (line for line in RECIPES.read_text(encoding="utf-8").splitlines() if line.startswith("pacs() {"))
    return line


def run(commands: str, pacs: Pacs, study_uid: str, folder: Path) -> None:
    """Run the commands of a recipe with what their reader would have set before."""
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
        "PACS": pacs.url,
        "PACS_USER": USER,
        "PACS_PASSWORD": pacs.password,
        "AET": CALLED,
        "HOST": "127.0.0.1",
        "PORT": str(pacs.dicom_port),
        "STUDY": study_uid,
    }
    # 3 is the exit code of a scan that is not simply ok, such as a low predicted Dice
    script = "\n".join([definition_of_pacs(), commands.replace("--output results", "--output results || [ $? = 3 ]")])
    command = ["bash", "-euo", "pipefail", "-c", script]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr


def ircadb01(folder: Path) -> list[Path]:
    """Return the slices of a real scan with sparse headers."""
    path = DATA / "ct" / "ircadb01_dicom.zip"
    if not path.exists():
        pytest.skip("real scans are not at hand: set PANCREAS_DATA")
    with zipfile.ZipFile(path) as archive:
        archive.extractall(folder)
    return sorted(file for file in folder.rglob("*") if file.is_file() and pydicom.misc.is_dicom(file))


def need(*programs: str) -> None:
    for program in programs:
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed: apt-get install dcmtk")


@pytest.mark.parametrize("path", ["/system", "/instances", "/dicom-web/studies", "/wado?requestType=WADO"])
def test_nobody_gets_in_without_the_password(pacs, path):
    assert pacs.status(path) == 401
    assert pacs.status(path, password="wrong") == 401


def test_nobody_gets_in_from_another_machine(pacs):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing; tells the address that it would be sent from
        except OSError:
            pytest.skip("this machine has no address but 127.0.0.1")
        address = probe.getsockname()[0]
    assert pacs.status(password=pacs.password, host=address) in (401, 403)


def test_a_stranger_cannot_send(pacs, rendered):
    need("storescu")
    command = ["storescu", "-aet", "STRANGER", "-aec", CALLED, "127.0.0.1", str(pacs.dicom_port)]
    sent = subprocess.run([*command, next(rendered.dicom.iterdir())], capture_output=True, text=True)
    assert sent.returncode != 0
    assert "Calling AE Title Not Recognized" in sent.stderr


def test_the_study_is_found_with_all_its_slices(round_trip):
    (found,) = round_trip.pacs.client().search_for_series(round_trip.study_uid, search_filters={"Modality": "CT"})
    assert found["0020000E"]["Value"] == [round_trip.series_uid]
    assert found["00201209"]["Value"] == [len(round_trip.sent)]  # NumberOfSeriesRelatedInstances


def test_the_segmentation_in_the_pacs_is_the_mask_voxel_by_voxel(round_trip):
    voxels, affine = mask_of(round_trip.results / "segmentation.nii.gz")
    assert len(voxels) > 1000
    assert voxels_of(round_trip.fetched("SEG"), affine) == voxels


def test_the_segmentation_refers_to_the_slices_in_the_pacs(round_trip):
    segmentation = round_trip.fetched("SEG")
    (series,) = segmentation.ReferencedSeriesSequence
    assert series.SeriesInstanceUID == round_trip.series_uid
    there = round_trip.pacs.client().search_for_instances(round_trip.study_uid, round_trip.series_uid)
    referred = {item.ReferencedSOPInstanceUID for item in series.ReferencedInstanceSequence}
    assert referred == {instance["00080018"]["Value"][0] for instance in there}


def test_the_report_in_the_pacs_holds_the_volume_of_the_segment(round_trip):
    report = highdicom.sr.ComprehensiveSR.from_dataset(round_trip.fetched("SR"))
    (group,) = report.content.get_volumetric_roi_measurement_groups()
    (volume,) = (item for item in group.get_measurements() if item.name.value == VOLUME)
    expected = json.loads((round_trip.results / "report.json").read_text())["volume_ml"]
    assert volume.value == pytest.approx(expected, abs=1e-4) and volume.unit.value == "ml"
    segment = group.referenced_segment
    assert segment.referenced_sop_instance_uid == round_trip.fetched("SEG").SOPInstanceUID


def test_the_study_with_results_in_it_is_still_one_scan(round_trip, tmp_path):
    for number, dataset in enumerate(round_trip.pacs.client().retrieve_study(round_trip.study_uid)):
        dataset.save_as(tmp_path / f"{number}.dcm")
    with ExitStack() as archives:
        (study,) = find_inputs([tmp_path], tmp_path / "out", archives).studies
    assert len(study.files) == len(round_trip.sent)


def with_dcmqi(segmentation: Path, folder: Path) -> Path:
    subprocess.run(
        [LABEL_PYTHON.parent / "segimage2itkimage", "--inputDICOM", segmentation, "--outputDirectory", folder]
        + ["--outputType", "nii"],
        check=True,
        capture_output=True,
    )
    return folder / "1.nii.gz"


def with_pydicom_seg(segmentation: Path, folder: Path) -> Path:
    code = (
        "import sys, pydicom, pydicom_seg, SimpleITK; "
        "result = pydicom_seg.SegmentReader().read(pydicom.dcmread(sys.argv[1])); "
        "SimpleITK.WriteImage(result.segment_image(1), sys.argv[2])"
    )
    path = folder / "segment.nii.gz"
    subprocess.run([LABEL_PYTHON, "-c", code, segmentation, path], check=True, capture_output=True)
    return path


@pytest.mark.parametrize("reader", [with_dcmqi, with_pydicom_seg], ids=["dcmqi", "pydicom-seg"])
def test_other_readers_see_the_same_mask_in_the_segmentation(round_trip, reader, tmp_path):
    if not LABEL_PYTHON.exists():
        pytest.skip(f"dcmqi and pydicom-seg are not installed: make label-test ({LABEL_PYTHON})")
    voxels, affine = mask_of(round_trip.results / "segmentation.nii.gz")
    assert mask_of(reader(round_trip.results / "segmentation.dcm", tmp_path), affine)[0] == voxels


# MONAI Label between PACS and viewer

def test_monai_label_lists_the_scans_of_the_pacs(pacs_server):
    assert pacs_server.get("/datastore/")["total"] == 1


def test_monai_labels_mask_overlaps_the_truth_in_millimetres(server_mask, rendered):
    voxels, affine = mask_of(server_mask)
    assert dice(voxels, mask_of(rendered.truth, affine)[0]) > 0.7


def test_a_label_saved_in_monai_label_is_a_segmentation_in_the_pacs(pacs_server, pacs, server_mask, rendered):
    client = pacs.client()
    before = series_of(client, rendered.study_uid)
    # label_info as 3D Slicer sends it
    pacs_server.save_label(rendered.series_uid, server_mask, {"label_info": [{"name": "pancreas", "idx": 1}]})
    (series_uid,) = series_of(client, rendered.study_uid) - before
    (segmentation,) = client.retrieve_series(rendered.study_uid, series_uid)
    voxels, affine = mask_of(server_mask)
    assert voxels_of(segmentation, affine) == voxels
    assert segmentation.ReferencedSeriesSequence[0].SeriesInstanceUID == rendered.series_uid
    (segment,) = segmentation.SegmentSequence
    assert segment.SegmentedPropertyTypeCodeSequence[0].CodeValue == PANCREAS


def series_of(client: DICOMwebClient, study_uid: str) -> set[str]:
    found = client.search_for_series(study_uid, search_filters={"Modality": "SEG"})
    return {series["0020000E"]["Value"][0] for series in found}

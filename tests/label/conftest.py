"""What the tests with real servers share, each made once for all of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pydicom
import pytest

from bundle.rendering.dataset import plan_scans, write_dataset
from bundle.rendering.scanner import ScannerSettings
from tests.label.orthanc import USER, Pacs, orthanc
from tests.label.server import Server, start_server


@dataclass(frozen=True)
class RenderedStudy:
    """A study whose pancreas is known.

    Attributes:
        dicom: folder with a file for each slice.
        image: the same scan as NIfTI.
        truth: the mask that it was rendered from.
        study_uid, series_uid: what DICOM calls it.
    """

    dicom: Path
    image: Path
    truth: Path
    study_uid: str
    series_uid: str


@pytest.fixture(scope="session")
def rendered(tmp_path_factory) -> RenderedStudy:
    """A portal venous abdomen, 270 x 270 x 62 voxels of 1.47 x 1.47 x 5 mm, with a pancreas of 46 ml."""
    folder = tmp_path_factory.mktemp("rendered")
    settings = ScannerSettings(in_plane_spacing_mm=(1.4, 1.5), slice_thickness_mm=(5.0, 5.0))
    (order,) = orders = plan_scans(1, seed=1, settings=settings, dicom=True)
    write_dataset(folder, orders)
    dicom = folder / "dicom" / order.name
    header = pydicom.dcmread(next(dicom.iterdir()), stop_before_pixels=True)
    image, truth = (folder / name / f"{order.name}.nii.gz" for name in ("imagesTr", "labelsTr"))
    return RenderedStudy(dicom, image, truth, str(header.StudyInstanceUID), str(header.SeriesInstanceUID))


@pytest.fixture(scope="session")
def pacs(tmp_path_factory, rendered) -> Iterator[Pacs]:
    """An Orthanc that holds the rendered study."""
    with orthanc(tmp_path_factory.mktemp("pacs") / "orthanc") as running:
        running.client().store_instances([pydicom.dcmread(file) for file in sorted(rendered.dicom.iterdir())])
        yield running


@pytest.fixture(scope="session")
def pacs_server(tmp_path_factory, pacs) -> Iterator[Server]:
    """MONAI Label on top of that Orthanc, with its password."""
    folder = tmp_path_factory.mktemp("pacs_server")
    settings = {
        "MONAI_LABEL_DICOMWEB_USERNAME": USER,
        "MONAI_LABEL_DICOMWEB_PASSWORD": pacs.password,
        "MONAI_LABEL_DICOMWEB_CACHE_PATH": str(folder / "cache"),
        "MONAI_LABEL_DICOMWEB_CACHE_EXPIRY": "1",  # seconds for which it doesn't look for new studies
    }
    with start_server(folder, pacs.url, settings) as running:
        yield running


@pytest.fixture(scope="session")
def server_mask(tmp_path_factory, pacs_server, rendered) -> Path:
    """The mask that MONAI Label answers with for the study in the PACS."""
    answer = pacs_server.infer(rendered.series_uid)
    assert answer.status == 200, answer.params
    return answer.save(tmp_path_factory.mktemp("server_mask"))

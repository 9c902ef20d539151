"""The cascade on the real scans at hand: scores where there is a label, a picture of each, one page."""

from __future__ import annotations

import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from monai.data import MetaTensor

from bundle.cascade.report import CascadeReport
from bundle.errors import bad_input
from bundle.evaluation.markdown import markdown_table
from bundle.evaluation.metrics import case_metrics
from bundle.evaluation.region import region_metrics
from bundle.geometry import spacing_of
from bundle.preprocess import to_ras
from bundle.read import find_scans, read_label
from bundle.segmentation import Segmenter

METRICS = ("dice", "precision", "recall", "surface_dice_2mm", "hausdorff_95_mm", "volume_error_ml", "roi_recall")


@dataclass(frozen=True)
class RealCase:
    """A real scan, and where its truth is.

    Args:
        name: of the case, and of its folder in the output.
        image: path below the data folder; of a zip with one DICOM series, too.
        label: path below the data folder, or None.
        value: of the pancreas in the label.
        remark: what one must know to read its numbers.
    """

    name: str
    image: str
    label: str | None = None
    value: int = 1
    remark: str = ""


CASES = (
    RealCase(
        "amos_0013_slab",
        "ct/amos_0013_slab.nii.gz",
        "ct/amos_0013_slab_label.nii.gz",
        10,
        "arterial phase, 11 slices of 5 mm that hold 46 % of the gland; expert label",
    ),
    RealCase(
        "totalsegmentator_example",
        "ct/totalsegmentator_example.nii.gz",
        "ct/totalsegmentator_example_label.nii.gz",
        7,
        "unenhanced, resampled to 3 mm, fatty atrophic gland of 19 ml; label made by a model",
    ),
    RealCase("ircadb01", "ct/ircadb01_dicom.zip", remark="portal phase, DICOM; no label"),
    RealCase("cort_liver", "ct/cort_liver.nii.gz", remark="3 × 3 × 2.5 mm; no label"),
)


def evaluate_real_ct(
    data: Path, output: Path, device: str = "auto", checkpoint: Path | None = None
) -> list[dict[str, Any]]:
    """Segment each case of :data:`CASES` into ``output`` and return a row for each: outcome, volume, scores.

    ``checkpoint`` holds other weights of the segmenter than the shipped ones.

    Raises:
        InputError: ``data`` holds none of the cases.
    """
    cases = [case for case in CASES if (data / case.image).is_file()]
    if not cases:
        raise bad_input(data, "the folder holds the real scans", "none of them", "Set PANCREAS_DATA or --data.")
    weights: dict[str, Any] = {} if checkpoint is None else {"checkpoint": str(checkpoint.resolve())}
    segmenter = Segmenter(output, device, **weights)
    return [_evaluate(segmenter, data, case) for case in cases]


def real_ct_page(rows: Sequence[dict[str, Any]]) -> str:
    """Return the table as Markdown; a score without a label is a dash."""
    columns = ["case", "outcome", "regions", "volume_ml", *METRICS, "seconds"]
    lines = [[*(_cell(row.get(column)) for column in columns), row["remark"]] for row in rows]
    return markdown_table([*columns, "remark"], lines) + "\n"


def _evaluate(segmenter: Segmenter, data: Path, case: RealCase) -> dict[str, Any]:
    with scan_path(data / case.image) as path:
        result = segmenter(path, case.name)
    row: dict[str, Any] = {
        "case": case.name,
        "outcome": result.outcome,
        "volume_ml": result.volume_ml,
        "regions": len(result.report["boxes"]),
        "seconds": result.seconds,
        "remark": case.remark,
    }
    if case.label is not None:
        label = read_label(data / case.label)
        row |= _scores(result.mask, label, case.value)
        boxes = CascadeReport.from_json(result.mask.meta["cascade"]).boxes
        row |= region_metrics(boxes, (torch.as_tensor(to_ras(label)[0]) == case.value).numpy())
    return row


def _scores(mask: MetaTensor, label: MetaTensor, value: int) -> dict[str, float]:
    return case_metrics(mask.numpy()[0] > 0, label.numpy()[0] == value, spacing_of(label.affine))


@contextmanager
def scan_path(path: Path) -> Iterator[Path]:
    """Give the path of the scan, unpacked for as long as the block runs if it is a zip of one DICOM series."""
    if path.suffix != ".zip":
        yield path
        return
    with tempfile.TemporaryDirectory() as folder:
        with zipfile.ZipFile(path) as archive:
            archive.extractall(folder)
        yield Path(find_scans(folder)[0]["image"])


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    return f"{value:.3g}" if isinstance(value, float) else str(value)

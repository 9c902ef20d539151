"""``python -m bundle demo``: a scan, its segmentation, the score and a picture, with nothing to prepare."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bundle.evaluation.metrics import case_metrics
from bundle.files import make_folder, write_nifti
from bundle.geometry import spacing_of
from bundle.read import read_label
from bundle.segmentation import Result, Segmenter
from bundle.write import mask, montage
from bundle.write.html import report_page

SEED = 7

_SHOWN = {
    "dice": "Dice",
    "surface_dice_2mm": "surface Dice at 2 mm",
    "hausdorff_95_mm": "Hausdorff 95 %, mm",
    "average_surface_distance_mm": "average surface distance, mm",
    "volume_error_ml": "volume error, ml",
}


def run(scan: Path | None, label: Path | None, output: Path, device: str) -> int:
    """Segment ``scan``, or a scan rendered from a drawn body, and print what came out; return the exit code.

    Args:
        scan: NIfTI file or DICOM folder; None renders one, with its truth, into ``output``.
        label: the truth to score against, 1 being pancreas, on the scan's grid.
        output: folder for everything.
        device: ``auto``, ``cpu`` or ``cuda``.
    """
    make_folder(output)
    console = Console()
    if scan is None:
        with console.status("rendering a scan from a drawn body"):
            scan, label = _render(output)
    with console.status(f"segmenting {scan}"):
        result = Segmenter(output, device)(scan)
    console.print(_table(result, _scores(result, label)))
    if result.reason:
        console.print(result.reason)
    if result.folder is not None:
        files = {"mask": mask.FILE_NAME, "picture": montage.FILE_NAME, "page": report_page.FILE_NAME}
        for name, file in files.items():
            console.print(f"{name:8} {result.folder / file}", soft_wrap=True)
    return 0 if result.volume_ml else 3


def _render(output: Path) -> tuple[Path, Path]:
    """Write a rendered scan and its truth into ``output`` and return their paths."""
    from bundle.rendering.renderer import render_scan
    from bundle.rendering.scanner import ScannerSettings

    settings = ScannerSettings(in_plane_spacing_mm=(0.8, 0.8), slice_thickness_mm=(2.5, 2.5), share_slab=0)
    rendered = render_scan(None, SEED, settings)
    paths = output / "rendered_scan.nii.gz", output / "rendered_truth.nii.gz"
    for path, values in zip(paths, (rendered.image_hu, rendered.label), strict=True):
        write_nifti(values, rendered.affine, path)
    return paths


def _scores(result: Result, label: Path | None) -> dict[str, float]:
    if label is None:
        return {}
    truth = read_label(label)
    return case_metrics(result.mask.numpy()[0] > 0, truth.numpy()[0] == 1, spacing_of(truth.affine))


def _table(result: Result, scores: dict[str, float]) -> Table:
    table = Table("pancreas", result.case)
    rows: dict[str, Any] = {"outcome": result.outcome, "volume, ml": f"{result.volume_ml:.1f}"}
    rows |= {title: f"{scores[name]:.3g}" for name, title in _SHOWN.items() if name in scores}
    rows["seconds, file to results"] = f"{result.seconds:.1f}"
    for name, value in rows.items():
        table.add_row(name, value)
    return table

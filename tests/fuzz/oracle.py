"""What every run of the command owes its user, whatever it was given."""

from __future__ import annotations

import io
import json
import os
import re
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pydicom

from bundle import cli
from bundle.write.case import RESULT_FILES
from tests.fuzz import phantom
from tests.fuzz.cases import Case

WITHOUT_MASK = {"invalid_input"}
EMPTY_MASK = {"not_found", "outside_field_of_view"}
WITH_MASK = {"ok", "touches_border", "low_confidence"}
EXIT_CODES = (0, 2, 3)

_BAD_INPUT = re.compile(r"[^\n]+: [^\n]+; received [^\n]*\. [^\n]+", re.DOTALL)


def defects(cases: Sequence[Case], folder: Path, pages: bool) -> list[str]:
    """Run the command on the cases and one healthy scan, and return what it owed and did not do.

    Args:
        cases: given together to one run of the command.
        folder: empty, for the output and the healthy scan.
        pages: with pictures and pages.
    """
    healthy, output = folder / "healthy.nii", folder / "out"
    nib.save(phantom.nifti(), healthy)
    arguments = ["segment", *(str(case.path) for case in cases), str(healthy), "--output", str(output)]
    code, printed, escaped = _run([*arguments, "--device", "cpu", *([] if pages else ["--no-report"])], folder)
    if escaped:
        return [f"an exception left the command: {escaped}"]
    found = [f"exit code {code}"] if code not in EXIT_CODES else []
    found += ["a traceback on the terminal"] if "Traceback (most recent" in printed else []
    if not output.is_dir():
        return [*found, f"no output folder: {printed[-2000:]}"]
    if (output / "errors.log").is_file():
        found.append(f"errors.log: {_innermost((output / 'errors.log').read_text())}")
    reports = {}
    for path in output.glob("*/report.json"):
        try:
            reports[path.parent] = json.loads(path.read_text(), parse_constant=_no_constant)
        except ValueError as error:
            found.append(f"{path}: {error}")
    for case_folder, report in reports.items():
        found += [f"{case_folder.name}: {problem}" for problem in _study_defects(case_folder, report)]
    found += [f"not accounted for: {case.path}" for case in cases if not _is_told(case, reports.values(), printed)]
    found += _stray_files(output, reports)
    if reports.get(output / "healthy", {}).get("outcome") != "ok":
        found.append(f"the healthy scan: {reports.get(output / 'healthy')}")
    return found


def _study_defects(folder: Path, report: dict[str, Any]) -> Iterator[str]:
    outcome, mask = report["outcome"], folder / "segmentation.nii.gz"
    if outcome not in WITHOUT_MASK | EMPTY_MASK | WITH_MASK:
        yield f"outcome {outcome}: {report['reason']}"
        return
    if outcome != "ok" and not all(reason.strip() for reason in report["reasons"] or [""]):
        yield f"{outcome} without a reason"
    if any("Traceback" in reason or "\n" in reason for reason in report["reasons"]):
        yield f"a reason of several lines: {report['reasons']}"
    if outcome in WITHOUT_MASK:
        if mask.exists():
            yield f"{outcome} with a mask"
        if not _BAD_INPUT.fullmatch(report["reason"]):
            yield f"no rule, value and remedy: {report['reason']}"
        return
    voxels = nib.load(mask)
    count = int(np.count_nonzero(np.asarray(voxels.dataobj)))
    if (count == 0) != (outcome in EMPTY_MASK):
        yield f"{outcome} with {count} voxels"
    if list(voxels.shape) != report["shape"] or not np.isfinite(voxels.affine).all():
        yield f"a mask of {voxels.shape} on {voxels.affine.tolist()} for {report['shape']}"
    if count and not report["volume_ml"] > 0:
        yield f"{count} voxels of {report['volume_ml']} ml"
    missing = [name for name in report["files"] if not (folder / name).is_file()]
    if missing or "key" not in report:
        yield f"incomplete: no {missing}, key {report.get('key')}"
    dicom = Path(report["input_file"]).is_dir() or report["input_file"].endswith(".dcm")
    for name in ("segmentation.dcm", "measurements.dcm"):
        if (folder / name).exists():
            pydicom.dcmread(folder / name)
        elif dicom and name not in report.get("not_written", {}):
            yield f"no {name} and no reason"


def _innermost(log: str) -> str:
    """Return the first error of a log of tracebacks, and the line of ours that it comes from."""
    first = log.split("\nThe above exception")[0].split("\nDuring handling")[0]
    ours = [line.strip() for line in log.splitlines() if "/bundle/" in line]
    return f"{ours[-1:]} {first.strip().splitlines()[-1]}"


def _is_told(case: Case, reports: Any, printed: str) -> bool:
    """Whether the input has a report, an error on the terminal, or a line in the closing table."""
    name = str(case.path)
    if any(str(report.get("input_file", "")).startswith(name) for report in reports):
        return True
    return f"error: {_plain(name)}" in printed or case.path.name[:8] in printed


def _plain(text: str) -> str:
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _stray_files(output: Path, reports: dict[Path, Any]) -> Iterator[str]:
    for entry in output.iterdir():
        if entry.is_dir() and entry not in reports:
            yield f"{entry.name}: a folder without a report"
        elif entry.is_file() and entry.name not in ("index.html", "errors.log"):
            yield f"{entry.name}: a file that nothing tells of"
    for folder in reports:
        for path in folder.iterdir():
            if path.name not in RESULT_FILES:
                yield f"{path}: a file that nothing tells of"
            elif path.suffix == ".html" and "<img src=x onerror" in path.read_text(encoding="utf-8"):
                yield f"{path}: a name that runs as a script"


def _run(arguments: list[str], folder: Path) -> tuple[int, str, str]:
    """Return (exit code, what was printed, the exception that got out)."""
    code, escaped = 0, ""
    with _printed_to(folder / "printed.txt"), warnings.catch_warnings():
        try:
            cli.main(arguments)
        except SystemExit as end:
            code = int(end.code or 0)
        except Exception as error:  # what the fuzz run is there to find
            import traceback

            escaped = f"{type(error).__name__}: {error}\n{traceback.format_exc()[-1500:]}"
    return code, (folder / "printed.txt").read_text(encoding="utf-8", errors="replace"), escaped


@contextmanager
def _printed_to(path: Path) -> Iterator[None]:
    """Send stdout and stderr to a file: as strict as those of a terminal, and of libraries in C too."""
    sys.stdout.flush()
    sys.stderr.flush()
    kept = os.dup(1), os.dup(2), sys.stdout, sys.stderr
    with path.open("wb") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
        sys.stdout = io.TextIOWrapper(io.FileIO(1, "w", closefd=False), encoding="utf-8", write_through=True)
        sys.stderr = io.TextIOWrapper(
            io.FileIO(2, "w", closefd=False), encoding="utf-8", errors="backslashreplace", write_through=True
        )
        try:
            yield
        finally:
            out, err, sys.stdout, sys.stderr = kept
            os.dup2(out, 1)
            os.dup2(err, 2)
            os.close(out)
            os.close(err)


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")

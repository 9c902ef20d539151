"""What the documentation tells its readers to type works as it stands."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import nibabel
import pytest
import torch
from typer.testing import CliRunner

from bundle.cli import app
from bundle.rendering.anatomy import write_anatomy
from bundle.rendering.body import draw_body
from bundle.rendering.dataset import plan_scans, write_dataset
from tests.documents import commands_of

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
EXECUTED = [ROOT / "README.md", ROOT / "docs" / "README.md"]
REPOSITORY = ["bundle", "configs", "models", "docs", "tests", "LICENSE", "README.md", "Makefile", "setup.cfg"]
REPOSITORY += ["pyproject.toml", "CITATION.cff", *sorted(path.name for path in ROOT.glob("requirements*.txt"))]
GROUPS = ["anatomy", "quality"]
PLANNED = ("make test", "make label")  # the tests themselves, and a server that runs until it is stopped
MINUTES_EACH = 10


def every_command() -> list[str]:
    return sorted({command for page in PAGES for command in commands_of(page)})


def executed_commands() -> list[str]:
    return list(dict.fromkeys(command for page in EXECUTED for command in commands_of(page)))


@pytest.mark.parametrize("page", EXECUTED, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_page_has_commands(page):
    assert len(commands_of(page)) >= 6


@pytest.mark.parametrize("command", [c for c in every_command() if c.startswith("make ")])
def test_documented_make_target_exists(command):
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert {word for word in command.split()[1:] if "=" not in word} <= set(targets)


@pytest.mark.parametrize("command", [c for c in every_command() if "--config_file" in c])
def test_documented_configuration_exists(command):
    files = {name for name in re.findall(r"configs/(\w+\.json)", command)}
    examples = {"my_labels.json", "NAME.json"}
    assert files and all((ROOT / "configs" / name).is_file() for name in files - examples)


@pytest.mark.parametrize("command", [c for c in every_command() if " -m bundle " in c])
def test_documented_option_exists(command):
    words = shlex.split(command.split(" -m bundle ")[1])
    names = words[:2] if words[0] in GROUPS else words[:1]
    shown = CliRunner(env={"COLUMNS": "200"}).invoke(app, [*names, "--help"])
    options = {word.split("=")[0] for word in words if re.match(r"--?[a-z]", word)}
    assert shown.exit_code == 0 and all(option in shown.output for option in options)


@pytest.fixture(scope="module")
def repository(tmp_path_factory) -> Path:
    """A copy of the repository as its reader has it after ``make venv``, with the scans that the pages speak of.

    Its training is shortened in the configuration, so that the commands need no word more than the pages have.
    """
    root = tmp_path_factory.mktemp("clone")
    for name in REPOSITORY:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy2
        copy(ROOT / name, root / name)
    _borrow_environment(root / ".venv")
    _shorten(root / "configs" / "train.json", {"max_epochs": 1, "val_interval": 1})
    for seed, section in enumerate(("training", "validation", "test"), start=70):
        write_dataset(root / "data" / "rendered", plan_scans(2, seed=seed, section=section))
    _place_scans(root)
    for seed, patient in enumerate("abcde"):
        body = draw_body(torch.Generator().manual_seed(seed), spacing_mm=3.0)
        write_anatomy(replace(body, patient=patient), root / "my_data" / "anatomy" / f"{patient}.nii.gz")
    return root


def _borrow_environment(venv: Path) -> None:
    """Make ``venv`` the environment that runs this test, complete in the eyes of ``make``."""
    venv.mkdir()
    for entry in Path(sys.prefix).iterdir():
        (venv / entry.name).symlink_to(entry)
    (venv / "installed").unlink(missing_ok=True)
    (venv / "installed").touch()


def _shorten(config: Path, values: dict[str, int]) -> None:
    content = json.loads(config.read_text())
    assert values.keys() <= content.keys()
    config.write_text(json.dumps(content | values, indent=4))


def _place_scans(root: Path) -> None:
    """Put a scan, a folder of scans, a zip file and a DICOM series where the pages name them."""
    write_dataset(root / "dicom", plan_scans(1, seed=80, section="test", dicom=True))
    (series,) = {path.parent for path in (root / "dicom").rglob("*.dcm")}
    shutil.copytree(series, root / "dicom_folder")
    with zipfile.ZipFile(root / "study.zip", "w") as archive:
        for path in sorted(series.iterdir()):
            archive.write(path, path.name)
    scan = next((root / "data" / "rendered" / "imagesTs").glob("*.nii.gz"))
    (root / "scans").mkdir()
    for place in (root / "scan.nii.gz", root / "scans" / "first.nii.gz"):
        shutil.copy(scan, place)


def as_typed(command: str) -> str:
    """Return the command; what would take hours is asked for less, what has tests of its own is only planned."""
    if command.startswith("make data "):
        return command + " COUNT=1"
    return command.replace("make ", "make --dry-run ") if command.startswith(PLANNED) else command


@pytest.mark.slow
@pytest.mark.parametrize("command", executed_commands())
def test_documented_command_runs(command, repository):
    # Training goes on where the last one in its folder ended, and here that is at the end.
    shutil.rmtree(repository / "output", ignore_errors=True)
    path = os.pathsep.join([str(repository / ".venv" / "bin"), os.environ["PATH"]])
    finished = subprocess.run(
        as_typed(command),
        shell=True,
        cwd=repository,
        env=os.environ | {"PATH": path, "PYTHONPATH": ""},
        capture_output=True,
        text=True,
        timeout=60 * MINUTES_EACH,
    )
    told = finished.stdout[-3000:] + finished.stderr[-3000:]
    # 3: finished, but a scan is flagged, which these scans may be
    assert finished.returncode in ((0, 3) if " segment " in command or "demo" in command else (0,)), told
    assert "Traceback" not in told
    if "--dataset_dir scans --output_dir results" in command:
        mask = nibabel.load(repository / "results" / "first" / "segmentation.nii.gz")
        assert mask.shape == nibabel.load(repository / "scans" / "first.nii.gz").shape

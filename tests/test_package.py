"""The package: what is in it, that it is the same twice, that a change is found, and that MONAI takes it."""

from __future__ import annotations

import hashlib
import json
import subprocess
import zipfile
from pathlib import Path

import monai.bundle
import pytest
import torch
import typer
from typer.testing import CliRunner

from bundle.errors import InputError
from bundle.package import build_package, check_folder, check_package, metadata_problems
from bundle.package.command import verify
from bundle.package.contents import NAME, NEEDED
from bundle.package.phantoms import write_phantoms
from bundle.read import load_datalist
from tests.phantoms import ROOT

METADATA = json.loads((ROOT / "configs" / "metadata.json").read_text())


@pytest.fixture
def small(tmp_path) -> Path:
    """A bundle of the files that every bundle has, with some that don't belong into a package."""
    root = tmp_path / "checkout"
    for name in (*NEEDED, "bundle/__init__.py", "docs/README.md"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
    (root / "configs" / "metadata.json").write_text(json.dumps({"version": "1.2.3", "changelog": {"1.2.3": "new"}}))
    for name in ("bundle/__pycache__/x.pyc", "models/.part.pt", "docs/run.log", "output/mask.txt", "tests/test_x.py"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("x")
    return root


@pytest.fixture
def package(small, tmp_path) -> Path:
    return build_package(small, tmp_path / "dist")


def rewrite(package: Path, changes: dict[str, bytes | None]) -> None:
    """Replace, add or (None) remove files of a package, whose outer checksum is made to fit."""
    with zipfile.ZipFile(package) as archive:
        content: dict[str, bytes | None] = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(package, "w") as archive:
        for name, data in (content | changes).items():
            if data is not None:
                archive.writestr(name, data)
    package.with_name(package.name + ".sha256").unlink()


def test_package_has_one_folder_with_what_belongs_and_nothing_else(package):
    assert package.name == f"{NAME}_v1.2.3.zip"
    with zipfile.ZipFile(package) as archive:
        names = {name.removeprefix(f"{NAME}/") for name in archive.namelist()}
    assert names == {*NEEDED, "bundle/__init__.py", "docs/README.md", "SHA256SUMS"}


def test_same_files_give_the_same_bytes(small, package, tmp_path):
    (small / "LICENSE").touch()
    assert build_package(small, tmp_path / "again").read_bytes() == package.read_bytes()


def test_checksum_beside_the_package_is_that_of_the_package(package):
    digest, name = package.with_name(package.name + ".sha256").read_text().split()
    assert (digest, name) == (hashlib.sha256(package.read_bytes()).hexdigest(), package.name)


def test_checksums_are_those_of_sha256sum(package, tmp_path):
    with zipfile.ZipFile(package) as archive:
        archive.extractall(tmp_path)
    subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=tmp_path / NAME, check=True)


def test_a_bundle_without_weights_is_not_packed(small, tmp_path):
    (small / "models" / "model.pt").unlink()
    with pytest.raises(InputError, match=r"models/model\.pt"):
        build_package(small, tmp_path)


def test_a_version_that_the_changelog_lacks_is_not_packed(small, tmp_path):
    (small / "configs" / "metadata.json").write_text(json.dumps({"version": "1.2.4", "changelog": {"1.2.3": "new"}}))
    with pytest.raises(InputError, match="changelog"):
        build_package(small, tmp_path)


def test_package_as_it_was_made_is_accepted(package):
    assert check_package(package) == NAME


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({f"{NAME}/models/model.pt": b"other"}, r"models/model\.pt.*changed"),
        ({f"{NAME}/models/model.pt": None}, r"models/model\.pt.*no such file"),
        ({f"{NAME}/models/more.pt": b"x"}, r"every file is listed.*models/more\.pt"),
        ({f"{NAME}/SHA256SUMS": None}, "SHA256SUMS"),
        ({f"{NAME}/SHA256SUMS": b"nonsense"}, "SHA256SUMS"),
        ({"other/file": b"x"}, "one folder"),
        ({f"{NAME}/../../file": b"x"}, "one folder"),
    ],
)
def test_a_changed_package_is_refused(package, changes, named):
    rewrite(package, changes)
    with pytest.raises(InputError, match=named):
        check_package(package)


def test_a_package_that_is_not_that_of_its_checksum_is_refused(package):
    package.write_bytes(package.read_bytes() + b"x")
    with pytest.raises(InputError, match=r"its SHA-256 is that in .*\.zip\.sha256"):
        check_package(package)


def test_a_cut_off_package_is_refused(package):
    package.write_bytes(package.read_bytes()[:-50])
    package.with_name(package.name + ".sha256").unlink()
    with pytest.raises(InputError, match="complete zip file"):
        check_package(package)


def test_an_unpacked_package_with_a_changed_checkpoint_is_refused(package, tmp_path):
    with zipfile.ZipFile(package) as archive:
        archive.extractall(tmp_path)
    (tmp_path / NAME / "results.txt").write_text("not of the package")
    assert check_folder(tmp_path / NAME) == 6
    (tmp_path / NAME / "models" / "model.pt").write_text("other")
    with pytest.raises(InputError, match=r"models/model\.pt.*changed"):
        check_folder(tmp_path / NAME)


def test_command_refuses_a_changed_package(package):
    rewrite(package, {f"{NAME}/models/model.pt": b"other"})
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(verify)
    done = CliRunner().invoke(app, [str(package)])
    assert isinstance(done.exception, InputError) and "ok" not in done.output


def test_metadata_has_all_that_the_zoo_demands():
    assert metadata_problems(METADATA) == []


@pytest.mark.parametrize("key", [key for key in METADATA if key not in ("supported_apps", "localizer_data_format")])
def test_a_field_that_is_missing_from_metadata_is_named(key):
    problems = metadata_problems({name: value for name, value in METADATA.items() if name != key})
    assert any(problem.startswith(f"{key}:") for problem in problems)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"task": 3}, "task: its type is str"),
        ({"version": "0.10.0"}, "version: three numbers below 10"),
        ({"references": [3]}, "references: each is a text"),
        ({"network_data_format": {"inputs": {}}}, "network_data_format#inputs: it describes image"),
        ({"more_data_format": {"inputs": {"image": {}}, "outputs": {}}}, "more_data_format#inputs#image: it has type"),
    ],
)
def test_a_wrong_field_of_metadata_is_named(change, named):
    assert any(problem.startswith(named) for problem in metadata_problems(METADATA | change))


def test_both_networks_are_described():
    parts = {"network_data_format", "localizer_data_format"}
    assert {key for key in METADATA if key.endswith("_data_format")} == parts


def test_phantoms_are_a_data_set(tmp_path):
    folder = write_phantoms(tmp_path)
    assert [len(load_datalist(folder, section)) for section in ("training", "validation", "test")] == [4, 2, 1]


@pytest.mark.filterwarnings("ignore:parsing config_file:UserWarning")  # MONAI's, whenever it reads a configuration
@pytest.mark.filterwarnings("ignore:No hash value provided:UserWarning")  # MONAI's way to download cannot give one
def test_monai_downloads_and_loads_the_package(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    package = build_package(ROOT, tmp_path)
    monai.bundle.download(name=NAME, bundle_dir=tmp_path / "zoo", url=package.as_uri(), progress=False)
    network = monai.bundle.load(NAME, bundle_dir=tmp_path / "zoo", source="github", device="cpu")
    assert isinstance(network, torch.nn.Module)
    shipped = torch.load(ROOT / "models" / "model.pt", weights_only=True)
    assert all(torch.equal(value, shipped[key].to(value)) for key, value in network.state_dict().items())


@pytest.mark.slow
def test_the_package_passes_every_check_of_the_zoo(tmp_path, capfd):
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(verify)
    done = CliRunner().invoke(app, [str(build_package(ROOT, tmp_path))])
    printed = capfd.readouterr()
    assert done.exit_code == 0, printed.out + printed.err
    skipped = {line[8:25].strip() for line in printed.out.splitlines() if line.startswith("skipped")}
    assert skipped <= {"metadata schema", "onnx"}

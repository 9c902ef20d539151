"""Facts about the repository as a whole: what a reader, an installer or the model zoo relies on."""

from __future__ import annotations

import ast
import configparser
import json
import re
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

import bundle
from bundle.rendering.tissues import CLASSES

ROOT = Path(__file__).parents[1]
SOURCES = sorted((ROOT / "bundle").rglob("*.py"))
PYTHON = SOURCES + sorted((ROOT / "tests").rglob("*.py"))
CONFIGS = sorted((ROOT / "configs").glob("*.json"))
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
SETTINGS = [ROOT / name for name in ("Makefile", "setup.cfg", "pyproject.toml", "CITATION.cff", ".ci/run")]
TEXTS = PYTHON + CONFIGS + PAGES + SETTINGS

REQUIRED_METADATA = [
    "schema",
    "version",
    "changelog",
    "monai_version",
    "pytorch_version",
    "numpy_version",
    "required_packages_version",
    "name",
    "task",
    "description",
    "authors",
    "copyright",
    "data_source",
    "data_type",
    "image_classes",
    "label_classes",
    "pred_classes",
    "intended_use",
    "references",
    "network_data_format",
    "localizer_data_format",
]
FORMATS = ["network_data_format", "localizer_data_format"]

MACHINE_PATH = re.compile(r"(?<![\w.~-])/(?:home|root|work|opt|mnt|tmp|Users)/\w")
LEFT_OVER = re.compile(r"\b(?:TO" + r"DO|FIX" + r"ME|XX" + r"X)\b")


@pytest.fixture(scope="module")
def metadata():
    return json.loads((ROOT / "configs" / "metadata.json").read_text())


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", CONFIGS, ids=relative)
def test_config_is_json_with_four_spaces(path):
    text = path.read_text()
    json.loads(text)
    indents = {len(line) - len(line.lstrip(" ")) for line in text.splitlines()}
    assert "\t" not in text and all(indent % 4 == 0 for indent in indents)


@pytest.mark.parametrize("path", TEXTS, ids=relative)
def test_text_names_no_machine_and_leaves_nothing_over(path):
    text = path.read_text()
    assert MACHINE_PATH.findall(text) == [] and LEFT_OVER.findall(text) == []


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_module_starts_with_a_sentence(path):
    docstring = ast.get_docstring(ast.parse(path.read_text())) or ""
    assert len(docstring) > 10 and docstring.splitlines()[0].endswith(".")


# A lambda does not travel to a data loader's worker process.
@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_module_has_no_lambda(path):
    assert [node.lineno for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Lambda)] == []


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-dev.txt", "requirements-label.txt"])
def test_requirements_are_pinned_and_sorted(name):
    lines = (ROOT / name).read_text().splitlines()
    assert all(re.fullmatch(r"[A-Za-z0-9-]+==[0-9][0-9A-Za-z.]*", line) for line in lines)
    names = [line.split("==")[0].lower() for line in lines]
    assert names == sorted(names)


def test_every_imported_package_is_required():
    allowed = set(sys.stdlib_module_names) | {"bundle"} | importable(pins("requirements.txt"))
    # What runs inside MONAI Label, in an environment of its own.
    inside = allowed | {"monailabel", "monaibundle", "fastapi"}
    server = ROOT / "bundle" / "label" / "server"
    foreign = {
        f"{relative(path)}: {name}"
        for path in SOURCES
        for name in imported(path)
        if name not in (inside if path.is_relative_to(server) else allowed)
    }
    assert foreign == set()


def test_metadata_is_complete(metadata):
    assert [key for key in REQUIRED_METADATA if not metadata.get(key)] == []


def test_version_is_the_same_everywhere(metadata):
    citation = (ROOT / "CITATION.cff").read_text()
    assert metadata["version"] == bundle.__version__
    assert f"version: {metadata['version']}\n" in citation


# The zoo compares versions as strings, so 0.10.0 would come before 0.9.0.
def test_version_parts_are_single_digits_and_in_the_changelog(metadata):
    assert re.fullmatch(r"\d\.\d\.\d", metadata["version"])
    assert max(metadata["changelog"]) == metadata["version"]


def test_metadata_names_the_pinned_versions(metadata):
    named = {
        "monai": metadata["monai_version"],
        "torch": metadata["pytorch_version"],
        "numpy": metadata["numpy_version"],
        **metadata["required_packages_version"],
    }
    assert named == pins("requirements.txt")


@pytest.mark.parametrize("data_format", FORMATS)
def test_output_channels_are_the_label_classes(metadata, data_format):
    pred = metadata[data_format]["outputs"]["pred"]
    assert list(pred["channel_def"].values()) == list(CLASSES)
    assert list(pred["channel_def"]) == [str(channel) for channel in range(pred["num_channels"])]


@pytest.mark.parametrize("data_format", FORMATS)
def test_input_channels_are_counted(metadata, data_format):
    image = metadata[data_format]["inputs"]["image"]
    assert len(image["channel_def"]) == image["num_channels"]


def test_readme_opens_with_the_two_commands():
    commands = re.search(r"```\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert commands is not None
    assert [line.split("#")[0].strip() for line in commands[1].splitlines()] == ["make demo", "make test"]


def test_readme_says_not_for_diagnosis():
    assert all("not for diagnosis" in (ROOT / name).read_text() for name in ("README.md", "docs/README.md"))


def test_links_between_documents_lead_somewhere():
    links = [(page, link) for page in PAGES for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text())]
    assert [(relative(page), link) for page, link in links if not (page.parent / link).exists()] == []


# MONAI's default logging handlers may not need a folder that a fresh machine lacks.
def test_logging_goes_to_the_console_only():
    parser = configparser.RawConfigParser()
    parser.read(ROOT / "configs" / "logging.conf")
    handlers = [parser[section]["class"] for section in parser.sections() if section.startswith("handler_")]
    assert handlers == ["StreamHandler"]


def pins(name: str) -> dict[str, str]:
    """Name to version of the pins in a requirements file."""
    return dict(line.split("==") for line in (ROOT / name).read_text().splitlines())


def importable(distributions: dict[str, str]) -> set[str]:
    """Top-level modules that these distributions bring."""
    wanted = {name.lower() for name in distributions}
    return {module for module, owners in packages_distributions().items() if wanted & {o.lower() for o in owners}}


def imported(path: Path) -> set[str]:
    """Top-level names that a module imports."""
    tree = ast.parse(path.read_text())
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module}
    return {name.split(".")[0] for name in names}

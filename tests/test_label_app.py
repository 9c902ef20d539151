"""What can be said of the MONAI Label app without MONAI Label: its folder, its command, its answers, its ranking."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from bundle.errors import InputError, bad_input
from bundle.label import answer, chosen, prepare_app, ranked, refusal
from bundle.label.command import label, server_command, server_environment
from bundle.label.split import training_and_validation
from bundle.package.contents import NAME, NEEDED


@pytest.fixture
def root(tmp_path) -> Path:
    """A bundle of the files that every bundle has."""
    folder = tmp_path / "checkout"
    for name in (*NEEDED, "bundle/__init__.py", "models/model_localizer.pt"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"{name} as shipped")
    return folder


@pytest.fixture
def prefix(tmp_path) -> str:
    """A Python environment with MONAI Label's sample app in it."""
    stock = tmp_path / "environment" / "monailabel" / "sample-apps" / "monaibundle"
    stock.mkdir(parents=True)
    (stock / "main.py").write_text("stock app")
    return str(tmp_path / "environment")


def run(*arguments: str) -> Exception | None:
    command = typer.Typer()
    command.command()(label)
    return CliRunner().invoke(command, list(arguments)).exception


def test_the_app_is_ours_over_the_stock_one(root, prefix, tmp_path):
    prepare_app(tmp_path / "app", root, prefix)
    assert (tmp_path / "app" / "monaibundle.py").read_text() == "stock app"
    own = (tmp_path / "app" / "main.py").read_text()
    assert "class PancreasApp(Additions, monaibundle.MyApp, MONAILabelApp)" in own


def test_the_bundle_is_copied_under_its_name(root, prefix, tmp_path):
    copy = prepare_app(tmp_path / "app", root, prefix)
    assert copy == tmp_path / "app" / "model" / NAME
    assert all((copy / name).read_text() == f"{name} as shipped" for name in (*NEEDED, "bundle/__init__.py"))


def test_the_copy_says_what_a_saved_label_means(root, prefix, tmp_path):
    copy = prepare_app(tmp_path / "app", root, prefix)
    assert json.loads((copy / "data" / "dataset.json").read_text())["labels"] == {"0": "background", "1": "pancreas"}


def test_the_shipped_weights_are_kept_beside_those_that_are_trained(root, prefix, tmp_path):
    copy = prepare_app(tmp_path / "app", root, prefix)
    (copy / "models" / "model.pt").write_text("trained")
    prepare_app(tmp_path / "app", root, prefix)
    assert (copy / "models" / "model.pt").read_text() == "trained"
    assert (copy / "models" / "model_shipped.pt").read_text() == "models/model.pt as shipped"


def test_untrained_weights_follow_the_bundle(root, prefix, tmp_path):
    copy = prepare_app(tmp_path / "app", root, prefix)
    (root / "models" / "model.pt").write_text("of the next version")
    (root / "models" / "model_localizer.pt").write_text("of the next version")
    prepare_app(tmp_path / "app", root, prefix)
    assert {path.read_text() for path in (copy / "models").iterdir()} == {"of the next version"}


# The server loads weights again when their time of change is another.
def test_files_that_did_not_change_are_not_written_again(root, prefix, tmp_path):
    copy = prepare_app(tmp_path / "app", root, prefix)
    before = (copy / "models" / "model.pt").stat().st_mtime_ns
    prepare_app(tmp_path / "app", root, prefix)
    assert (copy / "models" / "model.pt").stat().st_mtime_ns == before


def test_a_missing_monailabel_is_said_with_the_remedy(root, tmp_path):
    with pytest.raises(InputError, match="it is installed in this Python environment.*make label"):
        prepare_app(tmp_path / "app", root, str(tmp_path / "nothing"))


def test_a_folder_with_something_else_is_not_taken(root, prefix, tmp_path):
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "letter.txt").write_text("dear")
    with pytest.raises(InputError, match="new, empty or one of ours"):
        prepare_app(tmp_path / "app", root, prefix)


def test_missing_studies_are_said(tmp_path):
    error = run(str(tmp_path / "nowhere"))
    assert isinstance(error, InputError) and "the studies are a folder; received no such folder" in str(error)


def test_a_folder_without_nifti_is_said(tmp_path):
    (tmp_path / "slice.dcm").write_text("x")
    error = run(str(tmp_path))
    assert isinstance(error, InputError) and "the folder holds NIfTI scans" in str(error)


def test_a_port_that_is_taken_is_said(tmp_path):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        error = run(str(tmp_path), "--port", str(other.getsockname()[1]), "--app", str(tmp_path / "app"))
    assert isinstance(error, InputError) and "the port is free; received Address already in use" in str(error)


def test_the_server_listens_here_and_stays_off_the_network(tmp_path):
    command = server_command(tmp_path / "app", "studies", "127.0.0.1", 8000)
    assert command[command.index("--host") + 1] == "127.0.0.1"
    pairs = list(zip(command, command[1:]))
    assert ("zoo_source", "none") in pairs and ("sam2", "false") in pairs


def test_an_address_is_passed_on_and_a_folder_made_absolute(tmp_path):
    studies = {
        given: server_command(tmp_path, given, "127.0.0.1", 8000)[7] for given in ("http://pacs/dicom-web", "studies")
    }
    assert studies == {"http://pacs/dicom-web": "http://pacs/dicom-web", "studies": str(Path("studies").absolute())}


def test_the_server_runs_the_code_in_the_app_folder(tmp_path):
    assert server_environment(tmp_path, tmp_path)["PYTHONPATH"] == str(tmp_path)


def test_what_the_user_set_in_the_environment_counts(tmp_path, monkeypatch):
    monkeypatch.setenv("MONAI_LABEL_AUTO_UPDATE_SCORING", "true")
    assert server_environment(tmp_path, tmp_path)["MONAI_LABEL_AUTO_UPDATE_SCORING"] == "true"


def test_the_answer_tells_the_outcome_and_no_path():
    told = {"outcome": "ok", "reason": "", "volume_ml": 80.5, "predicted_dice": 0.8}
    assert answer(told | {"input_file": "/a/b", "boxes": []}) == told


def test_bad_input_is_422_with_its_reason_also_inside_other_errors():
    try:
        try:
            raise bad_input("scan.nii.gz", "a scan has three dimensions", 2, "Export it again.")
        except InputError as error:
            raise RuntimeError("applying transform") from error
    except RuntimeError as error:
        status, detail = refusal(error)
    assert status == 422
    assert detail == {
        "outcome": "invalid_input",
        "reason": "scan.nii.gz: a scan has three dimensions; received 2. Export it again.",
    }


def test_any_other_error_is_500_in_one_line():
    status, detail = refusal(MemoryError("no room\nat all"))
    assert status == 500
    assert detail == {"outcome": "failed", "reason": "MemoryError: no room. The traceback is in the server's log."}


def test_the_worst_mask_is_labelled_first():
    studies = {
        "good": {"outcome": "ok", "predicted_dice": 0.9},
        "poor": {"outcome": "low_confidence", "predicted_dice": 0.5},
        "missed": {"outcome": "not_found", "predicted_dice": None},
        "new": {},
        "chest": {"outcome": "outside_field_of_view", "predicted_dice": None},
        "broken": {"outcome": "invalid_input", "predicted_dice": None},
    }
    assert ranked(studies) == ["missed", "poor", "good", "new", "chest", "broken"]


def test_equal_studies_come_by_name():
    assert ranked({"b": {}, "a": {}}) == ["a", "b"]


@pytest.mark.parametrize(
    ("labels", "share", "training", "validation"),
    [
        ("abcd", 0.2, "abcd", "abcd"),
        ("abcde", 0.2, "abcd", "e"),
        ("abcdefghij", 0.3, "abcdefg", "hij"),
        ("abcde", 0.01, "abcd", "e"),
        ("abcde", 1.0, "a", "bcde"),
        ("abcde", -1, "abcde", "abcde"),
    ],
)
def test_labels_are_held_out_where_there_are_enough(labels, share, training, validation):
    assert training_and_validation(labels, share) == (list(training), list(validation))


@pytest.mark.parametrize(("offered", "spacing_mm"), [("fast", 1.8), ("balanced", 1.3), (["balanced", "fast"], 1.3)])
def test_first_choice_counts_where_nobody_chose(offered, spacing_mm):
    assert chosen(offered, {"balanced": 1.3, "fast": 1.8}) == spacing_mm


def test_choice_that_was_not_offered_is_refused():
    with pytest.raises(InputError, match="balanced, fast; received faster"):
        chosen("faster", {"balanced": 1.3, "fast": 1.8})

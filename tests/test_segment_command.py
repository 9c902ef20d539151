"""``python -m bundle segment``: many scans, exit codes, the closing table, going on after an interruption."""

from __future__ import annotations

import json
import logging
import zipfile
from pathlib import Path

import pytest
from filelock import FileLock
from typer.testing import CliRunner

from bundle import cli
from bundle.errors import InputError
from bundle.segmentation import Segmenter, configuration
from bundle.segmentation.command import exit_code
from tests.threshold_pipeline import CONFIG, hu, save


@pytest.fixture(autouse=True)
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "inference.json"
    path.write_text(json.dumps(CONFIG))
    monkeypatch.setattr(configuration, "CONFIG", path)
    return path


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    folder = tmp_path / "scans"
    folder.mkdir()
    return folder


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The cases that are computed from now on."""
    cases: list[str] = []
    compute = Segmenter._run

    def counted(self, study, on_stage):
        cases.append(study.case)
        return compute(self, study, on_stage)

    monkeypatch.setattr(Segmenter, "_run", counted)
    return cases


def run(*arguments: object):
    return CliRunner().invoke(cli.app, ["segment", *map(str, arguments)])


def outcomes(output: Path) -> dict[str, str]:
    return {path.parent.name: json.loads(path.read_text())["outcome"] for path in output.glob("*/report.json")}


@pytest.mark.parametrize(
    ("given", "code"),
    [
        (["ok", "ok"], 0),
        (["ok", "not_found"], 3),
        (["ok", "invalid_input"], 3),
        (["failed"], 3),
        (["invalid_input", "invalid_input"], 2),
        ([], 2),
    ],
)
def test_exit_codes(given, code):
    assert exit_code(given) == code


def test_the_command_segments_a_folder(scans, tmp_path):
    save(scans / "a.nii.gz", hu())
    save(scans / "b.nii", hu())
    result = run(scans, "--output", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert (tmp_path / "out" / "a" / "segmentation.nii.gz").exists()
    assert (tmp_path / "out" / "b" / "report.json").exists()
    assert "0.3" in result.stdout


def test_a_bad_scan_does_not_stop_the_others(scans, tmp_path):
    save(scans / "a.nii.gz", hu() * 0)
    save(scans / "b.nii.gz", hu())
    save(scans / "c.nii.gz", hu(organ=50))
    result = run(scans, "gone.nii", "-o", tmp_path / "out")
    assert result.exit_code == 3
    assert outcomes(tmp_path / "out") == {"a": "invalid_input", "b": "ok", "c": "not_found"}
    assert not (tmp_path / "out" / "a" / "segmentation.nii.gz").exists()
    errors = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 2
    assert "Traceback" not in result.output


def test_an_unexpected_error_is_one_line_and_a_traceback_in_the_log(scans, tmp_path, monkeypatch):
    def fail(self, study, on_stage):
        raise KeyError("surprise")

    monkeypatch.setattr(Segmenter, "_run", fail)
    result = run(save(scans / "a.nii.gz", hu()), "-o", tmp_path / "out")
    assert result.exit_code == 3
    assert "KeyError: 'surprise'" in result.stderr
    assert "Traceback" not in result.output
    assert "Traceback" in (tmp_path / "out" / "errors.log").read_text()
    assert json.loads((tmp_path / "out" / "a" / "report.json").read_text())["outcome"] == "failed"


def test_results_are_replaced_only_with_overwrite(scans, tmp_path):
    path = save(scans / "a.nii.gz", hu())
    assert run(path, "-o", tmp_path / "out").exit_code == 0
    again = run(path, "-o", tmp_path / "out")
    assert isinstance(again.exception, InputError)
    assert "results of a. Give --resume" in str(again.exception)
    assert run(path, "-o", tmp_path / "out", "--overwrite").exit_code == 0


def test_overwrite_takes_away_an_older_mask_and_nothing_else(scans, tmp_path):
    folder = tmp_path / "out" / "a"
    folder.mkdir(parents=True)
    (folder / "segmentation.nii.gz").touch()
    (folder / "notes.txt").touch()
    assert run(save(scans / "a.nii.gz", hu() * 0), "-o", tmp_path / "out", "--overwrite").exit_code == 2
    assert sorted(path.name for path in folder.iterdir()) == ["notes.txt", "report.html", "report.json"]


def test_inputs_of_one_name_get_folders_of_their_own(scans, tmp_path):
    (scans / "deep").mkdir()
    paths = save(scans / "a.nii.gz", hu()), save(scans / "deep" / "a.nii.gz", hu())
    assert run(*paths, "-o", tmp_path / "out").exit_code == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a", "a_2", "index.html"]


def test_bad_input_is_one_line_and_exit_code_2(scans, tmp_path, capsys):
    (tmp_path / "out").touch()
    path = save(scans / "a.nii.gz", hu())
    with pytest.raises(SystemExit) as caught:
        cli.main(["segment", str(path), "--output", str(tmp_path / "out")])
    assert caught.value.code == 2
    assert capsys.readouterr().err.startswith("error: ")


@pytest.mark.parametrize(
    "arguments", [["segment"], ["segment", "a.nii"], ["segment", "a.nii", "-o", "x", "--device", "tpu"], ["sgment"]]
)
def test_wrong_usage_is_exit_code_2(arguments):
    assert CliRunner().invoke(cli.app, arguments).exit_code == 2


@pytest.mark.parametrize("arguments", [["segment", "--help"], ["render", "--help"], ["anatomy", "build", "--help"]])
def test_every_command_has_help(arguments):
    result = CliRunner().invoke(cli.app, arguments)
    assert result.exit_code == 0
    assert "--output" in result.output


def test_the_systems_of_the_command_are_those_of_the_configurations():
    assert {system.value for system in cli.System} == set(configuration.systems())


def test_an_unknown_system_is_wrong_usage(scans, tmp_path):
    result = run(save(scans / "a.nii.gz", hu()), "-o", tmp_path / "out", "--system", "zhu2019")
    assert result.exit_code == 2
    assert "zhu2018" in result.output


def test_without_report_there_is_no_picture(scans, tmp_path):
    assert run(save(scans / "a.nii.gz", hu()), "-o", tmp_path / "out", "--no-report").exit_code == 0
    names = sorted(path.relative_to(tmp_path / "out").as_posix() for path in tmp_path.glob("out/**/*.*"))
    assert names == ["a/report.json", "a/segmentation.nii.gz"]


def test_probabilities_are_saved_when_asked_for(scans, tmp_path):
    assert run(save(scans / "a.nii.gz", hu()), "-o", tmp_path / "out", "--save-probabilities").exit_code == 0
    assert (tmp_path / "out" / "a" / "probabilities.nii.gz").is_file()


def test_results_in_the_output_folder_are_no_scans(scans, tmp_path):
    save(scans / "a.nii.gz", hu())
    assert run(scans, "-o", scans / "out").exit_code == 0
    assert run(scans, "-o", scans / "out", "--overwrite").exit_code == 0
    assert outcomes(scans / "out") == {"a": "ok"}


def test_an_interrupted_run_ends_with_a_table_of_what_is_done(scans, tmp_path, monkeypatch):
    compute = Segmenter._run

    def interrupted(self, study, on_stage):
        data = compute(self, study, on_stage)
        if study.case == "b":
            raise KeyboardInterrupt
        return data

    monkeypatch.setattr(Segmenter, "_run", interrupted)
    for name in "abc":
        save(scans / f"{name}.nii", hu())
    result = run(scans, "-o", tmp_path / "out")
    assert result.exit_code == 130
    assert outcomes(tmp_path / "out") == {"a": "ok"}
    assert not list((tmp_path / "out" / "b").iterdir())
    assert [line.split("│")[2].strip() for line in result.stdout.splitlines() if line.startswith("│")] == [
        "ok",
        "not done",
        "not done",
    ]


def test_a_full_disk_stops_no_study(scans, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("bundle.segmentation.command.write_report", full)
    monkeypatch.setattr("bundle.write.mask.write_mask", full)
    for name in "ab":
        save(scans / f"{name}.nii", hu())
    result = run(scans, "-o", tmp_path / "out")
    assert result.exit_code == 3
    assert result.stdout.count("No space left on device") >= 2
    assert "Traceback" not in result.output


def test_resume_keeps_what_is_complete(scans, tmp_path, computed):
    for name, organ in (("a", 120), ("b", 50), ("c", -1000)):
        save(scans / f"{name}.nii", hu(organ) if name != "c" else hu() * 0)
    assert run(scans, "-o", tmp_path / "out").exit_code == 3
    del computed[:]
    again = run(scans, "-o", tmp_path / "out", "--resume")
    assert computed == []
    assert again.exit_code == 3
    assert outcomes(tmp_path / "out") == {"a": "ok", "b": "not_found", "c": "invalid_input"}
    assert again.stdout.count("kept from an earlier run") == 3


def test_resume_redoes_only_the_scan_that_changed(scans, tmp_path, computed):
    for name in "ab":
        save(scans / f"{name}.nii", hu())
    run(scans, "-o", tmp_path / "out")
    del computed[:]
    save(scans / "b.nii", hu(organ=130))
    assert run(scans, "-o", tmp_path / "out", "--resume").exit_code == 0
    assert computed == ["b"]


def test_a_zip_is_unpacked_and_named_after_itself(scans, tmp_path):
    save(scans / "a.nii", hu())
    with zipfile.ZipFile(tmp_path / "from_clinic.zip", "w") as archive:
        archive.write(scans / "a.nii", "deep/a.nii")
    assert run(tmp_path / "from_clinic.zip", "-o", tmp_path / "out").exit_code == 0
    report = json.loads((tmp_path / "out" / "from_clinic" / "report.json").read_text())
    assert report["input_file"] == str(tmp_path / "from_clinic.zip" / "deep" / "a.nii")


def test_messages_name_the_zip_and_not_the_folder_it_is_unpacked_in(scans, tmp_path, monkeypatch):
    compute = Segmenter._run

    def warns(self, study, on_stage):
        logging.getLogger("bundle.read").warning("%s: seen from outside", study.image)
        return compute(self, study, on_stage)

    monkeypatch.setattr(Segmenter, "_run", warns)
    monkeypatch.setenv("COLUMNS", "400")
    save(scans / "a.nii", hu())
    with zipfile.ZipFile(tmp_path / "from_clinic.zip", "w") as archive:
        archive.write(scans / "a.nii", "a.nii")
    result = run(tmp_path / "from_clinic.zip", "-o", tmp_path / "out")
    assert f"{tmp_path / 'from_clinic.zip' / 'a.nii'}: seen from outside" in result.stderr
    result = run(tmp_path / "from_clinic.zip", "-o", tmp_path / "out", "--anonymize")
    assert f"case_001 is {tmp_path / 'from_clinic.zip' / 'a.nii'}" in result.stderr
    assert "case_001: seen from outside" in result.stderr


def test_what_is_left_out_is_in_the_table_with_the_reason(scans, tmp_path):
    save(scans / "a.nii", hu())
    zipfile.ZipFile(scans / "b.zip", "w").close()
    result = run(scans, "-o", tmp_path / "out")
    assert result.exit_code == 0
    line = next(line for line in result.stdout.splitlines() if "b.zip" in line)
    assert "skipped" in line and "an archive" in line


@pytest.mark.parametrize("missing", ["segmentation.nii.gz", "overlay.png", "report.json"])
def test_resume_redoes_a_study_that_lost_a_file(scans, tmp_path, computed, missing):
    run(save(scans / "a.nii", hu()), "-o", tmp_path / "out")
    (tmp_path / "out" / "a" / missing).unlink()
    run(scans, "-o", tmp_path / "out", "--resume")
    assert computed == ["a", "a"]
    assert (tmp_path / "out" / "a" / missing).is_file()


def test_resume_redoes_what_other_settings_made(scans, tmp_path, computed, config):
    run(save(scans / "a.nii", hu()), "-o", tmp_path / "out")
    config.write_text(json.dumps({**CONFIG, "threshold": 0.55}))
    run(scans, "-o", tmp_path / "out", "--resume")
    run(scans, "-o", tmp_path / "out", "--resume", "--save-probabilities")
    assert computed == ["a", "a", "a"]


def test_resume_tries_again_what_failed(scans, tmp_path, monkeypatch):
    def fail(self, study, on_stage):
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(Segmenter, "_run", fail)
        assert run(save(scans / "a.nii", hu()), "-o", tmp_path / "out").exit_code == 3
    assert run(scans, "-o", tmp_path / "out", "--resume").exit_code == 0


def test_resume_removes_the_temporary_files_of_a_killed_run(scans, tmp_path):
    run(save(scans / "a.nii", hu()), "-o", tmp_path / "out")
    (tmp_path / "out" / "a" / ".4711.segmentation.nii.gz").touch()
    (tmp_path / "out" / "a" / ".mine").touch()
    run(scans, "-o", tmp_path / "out", "--resume")
    hidden = [path.name for path in (tmp_path / "out" / "a").iterdir() if path.name.startswith(".")]
    assert hidden == [".mine"]


def test_resume_and_overwrite_together_are_refused(scans, tmp_path):
    result = run(save(scans / "a.nii", hu()), "-o", tmp_path / "out", "--resume", "--overwrite")
    assert isinstance(result.exception, InputError)
    assert "Give one of them" in str(result.exception)


def test_anonymous_results_name_no_file(scans, tmp_path):
    save(scans / "doe_john.nii", hu())
    save(scans / "roe_jane.nii", hu() * 0)
    result = run(scans, "-o", tmp_path / "out", "--anonymize")
    assert outcomes(tmp_path / "out") == {"case_001": "ok", "case_002": "invalid_input"}
    texts = [path for path in tmp_path.glob("out/**/*.*") if path.suffix in (".json", ".html")]
    assert len(texts) == 4
    for path in texts:
        text = path.read_text()
        assert not any(word in text for word in ("doe", "roe", "jane", str(scans)))
    assert f"case_001 is {scans / 'doe_john.nii'}" in result.stderr


def test_the_reason_of_a_failure_is_the_first_error_not_what_wraps_it(scans, tmp_path, monkeypatch):
    def fail(self, study, on_stage):
        raise RuntimeError("applying transform") from KeyError("surprise")

    monkeypatch.setattr(Segmenter, "_run", fail)
    assert "KeyError: 'surprise'" in run(save(scans / "a.nii.gz", hu()), "-o", tmp_path / "out").stderr


def test_two_runs_do_not_write_into_one_folder(scans, tmp_path):
    path, output = save(scans / "a.nii.gz", hu()), tmp_path / "out"
    output.mkdir()
    with FileLock(output / ".running.lock"):
        refused = run(path, "-o", output)
    assert isinstance(refused.exception, InputError)
    assert "one run at a time writes into a folder; received another that is going on" in str(refused.exception)
    assert run(path, "-o", output).exit_code == 0
    assert not (output / ".running.lock").exists()


def test_the_lock_of_a_run_that_was_killed_stops_nobody(scans, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / ".running.lock").touch()
    assert run(save(scans / "a.nii.gz", hu()), "-o", tmp_path / "out").exit_code == 0


@pytest.mark.parametrize("name", ["index.html", "errors.log", "\udcff", "a\nb", "[red]x", "..."])
def test_odd_file_names_do_no_harm(scans, tmp_path, name):
    result = run(save(scans / f"{name}.nii.gz", hu()), "-o", tmp_path / "out")
    assert result.exit_code == 0, result.output
    (report,) = (tmp_path / "out").glob("*/report.json")
    assert json.loads(report.read_text())["outcome"] == "ok"
    assert (tmp_path / "out" / "index.html").is_file()


def test_a_file_that_cannot_be_read_has_a_report_too(scans, tmp_path):
    if not Path("/proc/self/mem").exists():
        pytest.skip("no /proc/self/mem, which is a file that nobody can read from its beginning")
    (scans / "a.nii").symlink_to("/proc/self/mem")
    save(scans / "b.nii", hu())
    assert run(scans, "-o", tmp_path / "out").exit_code == 3
    assert outcomes(tmp_path / "out") == {"a": "invalid_input", "b": "ok"}

"""Temporary folders: gone after the block, and those of killed processes gone with the next one."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from bundle.read.scratch import scratch_folder

ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def temporary(tmp_path, monkeypatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


@pytest.fixture
def other():
    """A process that works in a scratch folder until it is killed."""
    code = (
        "import sys, time; from bundle.read.scratch import scratch_folder\n"
        "with scratch_folder() as folder:\n"
        "    (folder / 'slice').write_text('x'); print(folder, flush=True); time.sleep(600)"
    )
    environment = os.environ | {"TMPDIR": tempfile.gettempdir()}
    process = subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    with process:
        yield process, Path(process.stdout.readline().strip())
        process.kill()


def test_nothing_is_left_of_a_block_that_ends(temporary):
    with pytest.raises(KeyError), scratch_folder() as folder:
        (folder / "file").touch()
        raise KeyError
    assert not list(temporary.iterdir())


def test_what_a_killed_process_left_goes_with_the_next_block(temporary, other):
    process, folder = other
    process.kill()
    process.wait()
    assert (folder / "slice").exists()
    with scratch_folder():
        assert not folder.exists()
    assert not list(temporary.iterdir())


def test_the_folder_of_a_running_process_stays(other):
    _, folder = other
    with scratch_folder():
        assert (folder / "slice").exists()


def test_two_blocks_at_once_do_not_disturb_each_other():
    with scratch_folder() as first, scratch_folder() as second:
        assert first != second and first.is_dir() and second.is_dir()


@pytest.mark.parametrize("kind", ["folder without lock", "link"])
def test_what_only_looks_like_ours_stays(temporary, kind):
    kept = temporary / "pancreas_ct_x"
    if kind == "link":
        (temporary / "elsewhere").mkdir()
        kept.symlink_to(temporary / "elsewhere")
        (temporary / "pancreas_ct_x.lock").touch()
    else:
        kept.mkdir()
    with scratch_folder():
        pass
    assert kept.is_dir()

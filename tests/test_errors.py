"""bundle.errors: the message, and what a user sees of it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from bundle.errors import InputError, bad_input, input_error, printable

ROOT = Path(__file__).parents[1]


def test_message_names_source_rule_value_and_remedy():
    error = bad_input("scan.nii", "a scan has three dimensions", "4", "Split it.")
    assert str(error) == "scan.nii: a scan has three dimensions; received 4. Split it."


def test_input_error_is_found_behind_what_wraps_it():
    with pytest.raises(RuntimeError) as wrapped:
        try:
            raise InputError("bad")
        except InputError as error:
            raise RuntimeError("applying transform") from error
    assert str(input_error(wrapped.value)) == "bad"


def test_other_exceptions_are_no_input_errors():
    assert input_error(RuntimeError("a bug")) is None


@pytest.mark.parametrize(
    ("statement", "seen"),
    [
        ("raise RuntimeError('outer') from bad_input('a', 'b', 'c', 'd')", "error: a: b; received c. d\n"),
        ("raise InputError('Caught in worker\\nTraceback\\nbundle.errors.InputError: a: b')", "error: a: b\n"),
    ],
)
def test_bad_input_is_one_line_on_stderr(statement, seen):
    code = f"from bundle.errors import *; show_input_errors_plainly()\n{statement}"
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert (ended.returncode, ended.stderr) == (1, seen)


def test_a_bug_keeps_its_traceback():
    code = "from bundle.errors import *; show_input_errors_plainly(); raise KeyError('bug')"
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert "Traceback" in ended.stderr and "KeyError: 'bug'" in ended.stderr


def test_a_message_is_one_line_that_every_terminal_takes():
    error = bad_input("a\nb\x1b[31m\udcff.nii", "b", "c\r", "d")
    assert str(error) == r"a\nb\x1b[31m\udcff.nii: b; received c\r. d"


def test_letters_of_all_scripts_stay_as_they_are():
    assert printable("ä 扫描") == "ä 扫描"

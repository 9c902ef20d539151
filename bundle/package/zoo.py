"""The model zoo's checks, in order, and how their results are told.

After Project-MONAI/model-zoo, ci/verify_bundle.py and ci/unit_tests, written anew; what MONAI itself can verify, MONAI
verifies. Run as a process of its own, ``python -m bundle.package.zoo ROOT``, with the bundle's code on the path.
"""

from __future__ import annotations

import contextlib
import io
import logging
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

from bundle.errors import input_error
from bundle.package.file_checks import (
    checksums,
    files,
    metadata,
    metadata_schema,
    network_shapes,
    onnx,
    parity,
    torchscript,
    weights,
)
from bundle.package.subject import Bundle, Skipped
from bundle.package.workflow_checks import evaluation, inference, load, training, two_processes

CHECKS: tuple[Callable[[Bundle], str], ...] = (
    files,
    checksums,
    metadata,
    metadata_schema,
    weights,
    network_shapes,
    torchscript,
    onnx,
    parity,
    training,
    evaluation,
    inference,
    two_processes,
    load,
)


def verify(root: Path, only: tuple[str, ...] = ()) -> bool:
    """Run the checks on the bundle at ``root`` and print a line for each; return whether none failed.

    Args:
        root: of the bundle.
        only: names of the checks to run; all, if none are given.
    """
    good = True
    with tempfile.TemporaryDirectory(prefix="verify_") as scratch:
        for check in CHECKS:
            if not only or check.__name__ in only:
                good &= _line(check, Bundle(root.resolve(), Path(scratch)))
    return good


def _line(check: Callable[[Bundle], str], bundle: Bundle) -> bool:
    """Run one check, print its line, and return whether it did not fail."""
    started, noise = time.perf_counter(), io.StringIO()
    failed = False
    try:
        with contextlib.redirect_stdout(noise), contextlib.redirect_stderr(noise), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            word, text = "ok", check(bundle)
    except Skipped as skipped:
        word, text = "skipped", str(skipped)
    except Exception as error:  # whatever a check raises is its result
        bad = input_error(error)
        failed, word, text = True, "FAILED", str(bad or f"{type(error).__name__}: {error}")
    finally:
        logging.getLogger().handlers.clear()
    seconds = time.perf_counter() - started
    print(f"{word:<8}{check.__name__.replace('_', ' '):<17}{seconds:6.1f} s  {text}", flush=True)
    if failed:
        print(noise.getvalue()[-2000:], file=sys.stderr)
    return not failed


if __name__ == "__main__":
    sys.exit(0 if verify(Path(sys.argv[1]), tuple(sys.argv[2:])) else 1)

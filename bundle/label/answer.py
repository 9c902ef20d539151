"""What the server says about a study: the outcome beside the mask, or in words why there is none."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from bundle.errors import input_error
from bundle.write.report import FAILED, INVALID_INPUT

_TOLD = (
    "outcome",
    "reason",
    "reasons",
    "volume_ml",
    "predicted_dice",
    "findings",
    "measurements",
    "seconds",
    "system",
    "weights_sha256",
    "versions",
)


def answer(report: Mapping[str, Any]) -> dict[str, Any]:
    """Return what of a study's report goes to the client: nothing that tells paths of the server or voxel boxes.

    Args:
        report: of :func:`bundle.write.report.case_report`.
    """
    return {key: report[key] for key in _TOLD if key in report}


def refusal(error: BaseException) -> tuple[int, dict[str, str]]:
    """Return (HTTP status, outcome and reason) of a study for which there is no answer.

    422 and ``invalid_input`` where an input is at fault, however deep in the chain of exceptions; else 500, ``failed``.
    """
    bad = input_error(error)
    if bad is not None:
        return HTTPStatus.UNPROCESSABLE_ENTITY, {"outcome": INVALID_INPUT, "reason": str(bad)}
    what = (str(error).strip().splitlines() or ["no message"])[0]
    reason = f"{type(error).__name__}: {what}. The traceback is in the server's log."
    return HTTPStatus.INTERNAL_SERVER_ERROR, {"outcome": FAILED, "reason": reason}

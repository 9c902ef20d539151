"""MONAI Label's web application for ``--uvicorn_app bundle.label.server.rest:app``.

Its errors are told in words, and pages from other addresses may not read its answers: MONAI Label lets every page that
is open in the browser read the studies.
"""

from __future__ import annotations

import os
from http import HTTPStatus
from json import JSONDecodeError
from typing import Any

from fastapi import Request
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import JSONResponse
from monailabel.app import app
from monailabel.config import settings
from monailabel.interfaces.exception import MONAILabelError, MONAILabelException

from bundle.errors import InputError
from bundle.label.answer import refusal
from bundle.write.report import INVALID_INPUT

__all__ = ["app"]


async def tell(request: Request, error: Exception) -> JSONResponse:
    """Return outcome and reason as JSON, with a status that says whose fault it is; no path of the studies' folder."""
    if isinstance(error, MONAILabelException) and error.error == MONAILabelError.INVALID_INPUT:
        status, detail = int(HTTPStatus.NOT_FOUND), {"outcome": INVALID_INPUT, "reason": str(error.msg)}
    elif isinstance(error, JSONDecodeError):
        status, detail = int(HTTPStatus.BAD_REQUEST), {"outcome": INVALID_INPUT, "reason": f"params: JSON; {error}"}
    else:
        status, detail = refusal(error)
    detail["reason"] = detail["reason"].replace(str(settings.MONAI_LABEL_STUDIES) + os.sep, "")
    content: dict[str, Any] = {"detail": detail}
    return JSONResponse(content, status_code=int(status))


app.user_middleware = [middleware for middleware in app.user_middleware if middleware.cls is not CORSMiddleware]

for kind in (InputError, MONAILabelException, JSONDecodeError, Exception):
    app.add_exception_handler(kind, tell)

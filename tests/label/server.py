"""The real MONAI Label server with this bundle, for as long as a test needs it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from email.parser import BytesParser
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from bundle.label.app import STOCK_APP
from bundle.package.contents import NAME, package_files
from tests.label.orthanc import free_port

ROOT = Path(__file__).parents[2]
PYTHON = Path(os.environ.get("PANCREAS_LABEL_PYTHON", ROOT / ".venv-label" / "bin" / "python"))
START_S, ANSWER_S, END_S = 300, 600, 60


@dataclass(frozen=True)
class Answer:
    """What the server answered to an inference.

    Attributes:
        status: of HTTP.
        params: JSON beside the mask; where there is no mask, the whole answer.
        mask: file of the mask as it was sent, None without.
    """

    status: int
    params: dict[str, Any]
    mask: bytes | None = None

    def save(self, folder: Path) -> Path:
        """Write the mask to ``folder`` and return the file."""
        assert self.mask is not None
        path = folder / f"{uuid.uuid4().hex}.nii.gz"
        path.write_bytes(self.mask)
        return path


@dataclass(frozen=True)
class Server:
    """A running MONAI Label.

    Attributes:
        url: without a slash at the end.
        app: folder of the app.
        log: file with what it says.
    """

    url: str
    app: Path
    log: Path

    @property
    def models(self) -> Path:
        """Folder of the weights that the server uses."""
        return self.app / "model" / NAME / "models"

    def call(
        self, path: str, method: str = "GET", body: bytes | None = None, content_type: str = ""
    ) -> tuple[int, Any, bytes]:
        """Return (status, headers, body) of a request."""
        request = urllib.request.Request(f"{self.url}{path}", data=body, method=method)
        if content_type:
            request.add_header("Content-Type", content_type)
        try:
            with _OPENER.open(request, timeout=ANSWER_S) as answer:
                return answer.status, answer.headers, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.headers, error.read()

    def get(self, path: str) -> Any:
        """Return the JSON answer to a GET."""
        status, _, body = self.call(path)
        assert status == 200, body
        return json.loads(body)

    def post(self, path: str, content: Mapping[str, Any] | None = None) -> Any:
        """Return the JSON answer to a POST of JSON."""
        status, _, body = self.call(path, "POST", json.dumps(content or {}).encode(), "application/json")
        assert status == 200, body
        return json.loads(body)

    def infer(self, image: str, model: str = NAME, **params: Any) -> Answer:
        """Ask for the mask of a study."""
        form, content_type = _multipart({"params": json.dumps(params)})
        path = f"/infer/{model}?image={urllib.parse.quote(image)}"
        status, headers, body = self.call(path, "POST", form, content_type)
        if headers.get_content_maintype() != "multipart":
            return Answer(status, json.loads(body))
        head = b"Content-Type: " + headers["Content-Type"].encode() + b"\r\n\r\n"
        parts = {
            part.get_param("name", header="content-disposition"): part.get_payload(decode=True)
            for part in BytesParser().parsebytes(head + body).get_payload()
        }
        return Answer(status, json.loads(parts["params"]), parts["image"])

    def save_label(self, image: str, label: Path, params: Mapping[str, Any] | None = None) -> None:
        """Submit a label as a client does when the annotator is done."""
        files = {"label": (label.name, label.read_bytes())}
        form, content_type = _multipart({"params": json.dumps(params or {})}, files)
        path = f"/datastore/label?image={urllib.parse.quote(image)}&tag=final"
        status, _, body = self.call(path, "PUT", form, content_type)
        assert status == 200, body

    def finish(self, task: str) -> dict[str, Any]:
        """Return the last ``train`` or ``scoring`` task when it has ended well."""
        until = time.monotonic() + ANSWER_S
        while time.monotonic() < until:
            status = self.get(f"/{task}/")
            if status["status"] not in ("SUBMITTED", "RUNNING"):
                assert status["status"] == "DONE", status
                return status
            time.sleep(1)
        raise TimeoutError(f"{task} took longer than {ANSWER_S} s")


@contextmanager
def start_server(folder: Path, studies: Path | str, env: Mapping[str, str] | None = None) -> Iterator[Server]:
    """Run ``python -m bundle label`` on studies; the test is skipped where MONAI Label isn't installed.

    Args:
        folder: for the app, made if missing.
        studies: folder of NIfTI files, or a DICOMweb address.
        env: added to the environment.
    """
    port, app = free_port(), folder / "app"
    command = ["bundle", "label", str(studies), "--app", str(app), "--port", str(port)]
    with _running(folder, command, ROOT, env or {}):
        yield Server(f"http://127.0.0.1:{port}", app, app / "logs" / "server.log")


@contextmanager
def start_stock_server(folder: Path, studies: Path) -> Iterator[Server]:
    """Run MONAI Label's own app for bundles, untouched, with a copy of this bundle as it is packed."""
    port, app = free_port(), folder / "app"
    copy = app / "model" / NAME
    _need_monai_label()
    shutil.copytree(PYTHON.parents[1] / STOCK_APP, app)
    for name in package_files(ROOT):
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, copy / name)
    command = ["monailabel.main", "start_server", "--app", str(app), "--studies", str(studies)]
    command += ["--host", "127.0.0.1", "--port", str(port)]
    for key, value in {"models": NAME, "zoo_source": "none", "sam2": "false"}.items():
        command += ["--conf", key, value]
    with _running(folder, command, folder, {"MONAI_LABEL_AUTO_UPDATE_SCORING": "false"}):
        yield Server(f"http://127.0.0.1:{port}", app, folder / "said.log")


def dice(mask: Path, truth: Path) -> float:
    """Return the Dice of two masks on the same grid; label 1 is the organ."""
    one, other = (np.asanyarray(nib.load(path).dataobj) == 1 for path in (mask, truth))
    assert one.shape == other.shape
    return float(2 * (one & other).sum() / max(1, one.sum() + other.sum()))


_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def _need_monai_label() -> None:
    if not PYTHON.exists():
        pytest.skip(f"MONAI Label is not installed: make label-test, or set PANCREAS_LABEL_PYTHON ({PYTHON})")


@contextmanager
def _running(folder: Path, command: list[str], cwd: Path, env: Mapping[str, str]) -> Iterator[None]:
    """Run a module in MONAI Label's environment until the block ends; the block begins when the server is up."""
    _need_monai_label()
    folder.mkdir(parents=True, exist_ok=True)
    said = folder / "said.log"
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **env}
    with said.open("w") as output:
        process = subprocess.Popen(
            [str(PYTHON), "-m", *command], cwd=cwd, env=environment, stdout=output, stderr=subprocess.STDOUT
        )
        try:
            _wait_until_up(process, said)
            yield
        finally:
            process.terminate()
            process.wait(END_S)


def _wait_until_up(process: subprocess.Popen, said: Path) -> None:
    until = time.monotonic() + START_S
    while time.monotonic() < until and process.poll() is None:
        if any(word in said.read_text() for word in ("Ready.", "Uvicorn running")):
            return
        time.sleep(0.2)
    raise RuntimeError(f"MONAI Label did not start:\n{said.read_text()[-5000:]}")


def _multipart(fields: Mapping[str, str], files: Mapping[str, tuple[str, bytes]] | None = None) -> tuple[bytes, str]:
    """Return body and content type of a form."""
    boundary = uuid.uuid4().hex
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{text}\r\n'.encode()
        for name, text in fields.items()
    ]
    for name, (file_name, content) in (files or {}).items():
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"; filename="{file_name}"\r\n'
        parts.append(f"{head}Content-Type: application/octet-stream\r\n\r\n".encode() + content + b"\r\n")
    return b"".join([*parts, f"--{boundary}--\r\n".encode()]), f"multipart/form-data; boundary={boundary}"

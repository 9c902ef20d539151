"""Orthanc, the PACS of Debian, on this machine and with a password, for as long as a test needs it.

Orthanc 1.10 listens on all interfaces and refuses whoever does not come from this machine. DICOM's own protocol, which
knows no password, is open to one named application only.
"""

from __future__ import annotations

import json
import secrets
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from dicomweb_client import DICOMwebClient
from dicomweb_client.session_utils import create_session_from_user_pass

RECIPES = Path(__file__).parents[2] / "docs" / "pacs.md"
EXECUTABLE = shutil.which("Orthanc") or shutil.which("Orthanc", path="/usr/sbin:/usr/local/sbin")
PLUGIN = "libOrthancDicomWeb.so"
PLUGIN_FOLDERS = (Path("/usr/share/orthanc/plugins"), Path("/usr/local/share/orthanc/plugins"))
USER = "reader"
CALLED = "ORTHANC"  # its name in DICOM's own protocol
START_S, END_S = 60, 30


@dataclass(frozen=True)
class Pacs:
    """A running Orthanc.

    Attributes:
        port: of HTTP.
        dicom_port: of DICOM's own protocol.
        password: of :data:`USER`.
        log: file with what it says.
    """

    port: int
    dicom_port: int
    password: str
    log: Path

    @property
    def url(self) -> str:
        """Address of its DICOMweb."""
        return f"http://127.0.0.1:{self.port}/dicom-web"

    def client(self) -> DICOMwebClient:
        """Return a DICOMweb client that knows the password."""
        return DICOMwebClient(self.url, session=create_session_from_user_pass(USER, self.password))

    def status(self, path: str = "/system", password: str | None = None, host: str = "127.0.0.1") -> int:
        """Return the HTTP status of a GET: 200, 401 (no or a wrong password), 403 (forbidden)."""
        manager = urllib.request.HTTPPasswordMgrWithPriorAuth()
        if password is not None:
            manager.add_password(None, f"http://{host}:{self.port}/", USER, password, is_authenticated=True)
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPBasicAuthHandler(manager)
        )
        try:
            with opener.open(f"http://{host}:{self.port}{path}", timeout=30) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            with error:
                return int(error.code)


@contextmanager
def orthanc(folder: Path) -> Iterator[Pacs]:
    """Run an empty Orthanc that keeps everything in ``folder``, which is made; the test is skipped where it can't."""
    plugin = next((path / PLUGIN for path in PLUGIN_FOLDERS if (path / PLUGIN).exists()), None)
    if EXECUTABLE is None or plugin is None:
        pytest.skip("Orthanc is not installed: apt-get install orthanc orthanc-dicomweb")
    folder.mkdir(parents=True)
    pacs = Pacs(free_port(), free_port(), secrets.token_urlsafe(12), folder / "orthanc.log")
    configuration = folder / "orthanc.json"
    configuration.touch(mode=0o600)  # it holds the password
    configuration.write_text(json.dumps(_configuration(pacs, folder, plugin), indent=4))
    with pacs.log.open("w") as log, subprocess.Popen([EXECUTABLE, configuration], stdout=log, stderr=log) as process:
        try:
            _wait_until_ready(pacs, process)
            yield pacs
        finally:
            process.terminate()
            try:
                process.wait(END_S)
            except subprocess.TimeoutExpired:
                process.kill()


def free_port() -> int:
    """Return a port of 127.0.0.1 that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _configuration(pacs: Pacs, folder: Path, plugin: Path) -> dict:
    """Return the configuration of docs/pacs.md with folders, ports and password of this one."""
    documented = json.loads(RECIPES.read_text(encoding="utf-8").split("```json")[1].split("```")[0])
    return documented | {
        "StorageDirectory": str(folder / "storage"),
        "IndexDirectory": str(folder / "storage"),
        "Plugins": [str(plugin)],
        "HttpPort": pacs.port,
        "RegisteredUsers": {USER: pacs.password},
        "DicomPort": pacs.dicom_port,
    }


def _wait_until_ready(pacs: Pacs, process: subprocess.Popen) -> None:
    until = time.monotonic() + START_S
    while time.monotonic() < until and process.poll() is None:
        try:
            if pacs.status(password=pacs.password) == 200:
                return
        except OSError:
            pass
        time.sleep(0.1)
    raise RuntimeError(f"Orthanc did not start:\n{pacs.log.read_text()}")

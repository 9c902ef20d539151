"""``python -m bundle label``: start MONAI Label with this bundle, and say where to find it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Annotated

import psutil
import typer

from bundle.errors import bad_input
from bundle.label.app import prepare_app
from bundle.package.contents import NAME

APP = Path("output", "label")

LOOPBACK = ("127.0.0.1", "::1", "localhost")

_START_S, _END_S = 300, 20
_DICOMWEB = ("http://", "https://")
_SCANS = (".nii", ".nii.gz")
_LOG = "server.log"
_LAST_LINES = 3


def label(
    studies: Annotated[
        str,
        typer.Argument(
            metavar="STUDIES",
            help="A folder of NIfTI scans (.nii, .nii.gz), or the DICOMweb address of a PACS "
            "(http://127.0.0.1:8042/dicom-web).",
            show_default=False,
        ),
    ],
    app: Annotated[Path, typer.Option(help="Folder for the app and for what it learns; made if missing.")] = APP,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 8000,
    host: Annotated[str, typer.Option(help="Address to listen on. There is no password.")] = LOOPBACK[0],
) -> None:
    """Start MONAI Label with this bundle, and print the addresses for 3D Slicer and the browser.

    Labels are saved below STUDIES (in a PACS: as DICOM SEG), trained weights in the app folder; the bundle itself
    stays as it is. Ctrl-C stops the server and what it is training. A PACS with a password takes it from the
    environment: MONAI_LABEL_DICOMWEB_USERNAME and MONAI_LABEL_DICOMWEB_PASSWORD.
    """
    remote = studies.startswith(_DICOMWEB)
    if not remote:
        _check_folder(Path(studies))
    _check_port(host, port)
    bundle_copy = prepare_app(app)
    log = app / "logs" / _LOG
    command = server_command(app, studies, host, port)
    url = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    typer.echo(f"Starting MONAI Label, which takes a minute; its log is {log}")
    if host not in LOOPBACK:
        typer.echo("Warning: without a password, everybody who reaches this address can read and change the studies.")
    with _server(command, app, server_environment(app, bundle_copy), log) as process:
        _wait_until_ready(process, url, log)
        typer.echo(f"Ready. 3D Slicer, module MONAILabel: {url}, model {NAME}")
        typer.echo(f"Browser (OHIF): {url}/ohif/" if remote else "Browser (OHIF): needs a PACS as STUDIES")
        typer.echo(f"REST: {url}/   Stop with Ctrl-C")
        process.wait()
        raise bad_input("MONAI Label", "the server runs until it is stopped", _ended(process, log), f"Read {log}.")


def server_command(app: Path, studies: str, host: str, port: int) -> list[str]:
    """Return the command line of MONAI Label's own server with our app, off the network."""
    settings = {
        "models": NAME,
        "zoo_source": "none",
        "sam2": "false",
        "epistemic_model": NAME,
        "epistemic_simulation_size": "3",
    }
    where = studies if studies.startswith(_DICOMWEB) else os.path.abspath(studies)
    command = [sys.executable, "-m", "monailabel.main", "start_server"]
    command += ["--app", str(app.absolute()), "--studies", where]
    command += ["--host", host, "--port", str(port), "--uvicorn_app", "bundle.label.server.rest:app"]
    for key, value in settings.items():
        command += ["--conf", key, value]
    return command


def server_environment(app: Path, bundle_copy: Path) -> dict[str, str]:
    """Return the environment of the server: this one, where it doesn't say otherwise.

    Args:
        app: folder of the app.
        bundle_copy: the bundle in the app folder, whose code runs there.
    """
    defaults = {
        "MONAI_LABEL_AUTO_UPDATE_SCORING": "false",  # else every study is segmented several times at each step
        "MONAI_LABEL_TRACKING_ENABLED": "false",
        # What the server keeps of studies stays in the app folder, not in the user's home.
        "MONAI_LABEL_SESSION_PATH": str(app.absolute() / "sessions"),
        "MONAI_LABEL_DICOMWEB_CACHE_PATH": str(app.absolute() / "cache"),
    }
    programs = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    return {**defaults, **os.environ, "PATH": programs, "PYTHONPATH": str(bundle_copy.absolute())}


def _check_folder(studies: Path) -> None:
    remedy = "Give a folder of NIfTI scans, or the address of a PACS: http://127.0.0.1:8042/dicom-web."
    if not studies.is_dir():
        raise bad_input(studies, "the studies are a folder", "a file" if studies.exists() else "no such folder", remedy)
    names = [path.name for path in studies.iterdir() if path.is_file() and not path.name.startswith(".")]
    if names and not any(name.lower().endswith(_SCANS) for name in names):
        raise bad_input(studies, "the folder holds NIfTI scans (.nii, .nii.gz)", f"{len(names)} other files", remedy)


def _check_port(host: str, port: int) -> None:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            remedy = "Stop what listens there, or choose another with --port."
            raise bad_input(f"{host}:{port}", "the port is free", error.strerror or error, remedy) from error


@contextmanager
def _server(command: list[str], app: Path, environment: dict[str, str], log: Path) -> Iterator[subprocess.Popen]:
    """Run the server for as long as the block, and end it with all that it started, also when we are terminated.

    It works in the app folder: Python would take the bundle in the present folder for the one in the app.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    before = signal.signal(signal.SIGTERM, _interrupt)
    with log.open("w", encoding="utf-8") as output:
        process = subprocess.Popen(command, cwd=app, env=environment, stdout=output, stderr=subprocess.STDOUT)
        try:
            yield process
        except KeyboardInterrupt:
            typer.echo("Stopped.")
        finally:
            _end(process)
            signal.signal(signal.SIGTERM, before)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _end(process: subprocess.Popen) -> None:
    if process.poll() is not None:
        return
    parent = psutil.Process(process.pid)
    family = [*parent.children(recursive=True), parent]
    for member in family:
        _signal(member, "terminate")
    _, alive = psutil.wait_procs(family, _END_S)
    for member in alive:
        _signal(member, "kill")
    process.wait()


def _signal(process: psutil.Process, name: str) -> None:
    try:
        getattr(process, name)()
    except psutil.NoSuchProcess:
        pass


def _wait_until_ready(process: subprocess.Popen, url: str, log: Path) -> None:
    until = time.monotonic() + _START_S
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    while time.monotonic() < until and process.poll() is None:
        try:
            with direct.open(f"{url}/info/", timeout=30):
                return
        except urllib.error.HTTPError as error:
            with error:
                detail = error.read().decode(errors="replace")[:300]
            raise bad_input("MONAI Label", "the app starts", detail, f"Read {log}.") from error
        except OSError:
            time.sleep(0.5)
    raise bad_input("MONAI Label", f"the server is up within {_START_S} s", _ended(process, log), f"Read {log}.")


def _ended(process: subprocess.Popen, log: Path) -> str:
    if process.poll() is None:
        return "no answer"
    lines = [line.strip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    return f"exit code {process.returncode} ({' / '.join(lines[-_LAST_LINES:])})"

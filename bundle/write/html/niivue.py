"""The viewer NiiVue (https://github.com/niivue/niivue, BSD 2-Clause), taken from an installed Python package.

ipyniivue on PyPI is NiiVue for notebooks. Its script holds a complete build of NiiVue as an ECMAScript module, percent-
encoded, for pages that notebooks save; that module is what our pages embed. Nothing of the package is imported, so that
``pip install --no-deps ipyniivue`` is enough.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from urllib.parse import unquote

PACKAGE = "ipyniivue"
INSTALL = f"pip install --no-deps {PACKAGE}"

_NEEDED = ("Niivue", "NVImage", "NVMesh")
_SCRIPT = f"{PACKAGE}/static/widget.js"
_USE = re.compile(r"saveHTML\(\w+,\w+,decodeURIComponent\((\w+)\)\)")
_VERSION = re.compile(r'name:"@niivue/niivue",version:"([\w.+-]+)"')


@dataclass(frozen=True)
class NiiVue:
    """A build of NiiVue.

    Attributes:
        version: of NiiVue, not of the package it came in.
        module: ECMAScript module that exports ``Niivue``, ``NVImage`` and ``NVMesh``, and loads nothing else.
        licence: text that has to go with every copy.
    """

    version: str
    module: str
    licence: str


@cache
def find_niivue() -> NiiVue:
    """Return the installed NiiVue.

    Raises:
        LookupError: there is none, or the package is not built as it was; the message says so for readers of the page.
    """
    try:
        package = distribution(PACKAGE)
    except PackageNotFoundError:
        raise LookupError(f"the Python package {PACKAGE} is not installed ({INSTALL})") from None
    try:
        module = _embedded_module(Path(str(package.locate_file(_SCRIPT))).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise LookupError(f"{PACKAGE} {package.version} does not hold NiiVue where it is looked for") from None
    version = _VERSION.search(module)
    return NiiVue(version[1] if version else "of unknown version", module, _licence(package))


def _embedded_module(script: str) -> str:
    """Return the percent-encoded module inside the notebook's script.

    Raises:
        ValueError: it is not there, or it does not export what is needed.
    """
    use = _USE.search(script)
    if use is None:
        raise ValueError("no use of the module")
    literal = re.search(rf"""[\s,;]{re.escape(use[1])}=(["'`])([\w%.!~*'()-]+)\1""", script)
    module = unquote(literal[2]) if literal else ""
    exported = module[module.rfind("export{") :]
    if not all(re.search(rf"\b{name}\b", exported) for name in _NEEDED):
        raise ValueError(f"the module does not export {_NEEDED}")
    return module


def _licence(package: Distribution) -> str:
    for file in package.files or ():
        if file.name.upper().startswith("LICEN"):
            return file.read_text()
    return package.metadata["License"] or ""

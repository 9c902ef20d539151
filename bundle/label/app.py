"""The folder that MONAI Label starts from: its stock app for bundles, ours over it, and a copy of the bundle."""

from __future__ import annotations

import filecmp
import json
import os
import shutil
import sys
from pathlib import Path

from bundle.errors import bad_input
from bundle.files import replacing, write_text
from bundle.package.contents import NAME, package_files

BUNDLE_ROOT = Path(__file__).parents[2]

STOCK_APP = Path("monailabel", "sample-apps", "monaibundle")
"""Where MONAI Label puts the app, below the prefix of its environment."""

WEIGHTS, SHIPPED = "model.pt", "model_shipped.pt"
"""The segmenter that the server uses and trains, and the one that came with the bundle."""

_OWN_MAIN = Path(__file__).parent / "server" / "main.py"


def prepare_app(app: str | os.PathLike[str], root: Path = BUNDLE_ROOT, prefix: str = sys.prefix) -> Path:
    """Make or refresh an app folder for ``monailabel start_server`` and return the bundle's copy in it.

    ``main.py`` is ours; MONAI Label's own app ``monaibundle`` lies beside it as ``monaibundle.py``. The bundle is
    copied, since training there writes weights and results into it. Weights that were trained in the folder stay;
    untrained ones are replaced by those of the bundle, which are also kept as ``model_shipped.pt``.

    Args:
        app: folder; made if missing.
        root: of the bundle.
        prefix: of the Python environment that MONAI Label is installed in.

    Raises:
        InputError: MONAI Label isn't installed, the bundle isn't complete, or the folder holds something else.
    """
    app = Path(app)
    stock = Path(prefix) / STOCK_APP
    if not (stock / "main.py").is_file():
        remedy = "Start it with the environment of requirements-label.txt: `make label`."
        raise bad_input("MONAI Label", "it is installed in this Python environment", "no sample apps", remedy)
    if app.is_dir() and any(app.iterdir()) and not (app / "monaibundle.py").is_file():
        raise bad_input(app, "the app folder is new, empty or one of ours", "other files", "Choose another folder.")
    if app.exists() and not app.is_dir():
        raise bad_input(app, "the app folder is a folder", "a file", "Choose another folder.")
    _copy(stock / "main.py", app / "monaibundle.py")
    _copy(_OWN_MAIN, app / "main.py")
    copy = app / "model" / NAME
    for name in package_files(root):
        if not name.startswith("models/"):
            _copy(root / name, copy / name)
    _copy_weights(root / "models", copy / "models")
    # What a label saved in the server means, for training there without our app.
    labels = {"labels": {"0": "background", "1": "pancreas"}}
    write_text(json.dumps(labels, indent=4) + "\n", copy / "data" / "dataset.json")
    return copy


def _copy_weights(source: Path, target: Path) -> None:
    trained = (target / WEIGHTS).is_file() and not _same(target / WEIGHTS, target / SHIPPED)
    for path in sorted(source.glob("*.pt")):
        if path.name != WEIGHTS or not trained:
            _copy(path, target / path.name)
    _copy(source / WEIGHTS, target / SHIPPED)


def _copy(source: Path, target: Path) -> None:
    """Copy a file, unless the copy is there already: its time of change tells the server whether to load it again."""
    if _same(source, target):
        return
    with replacing(target) as temporary:
        shutil.copyfile(source, temporary)


def _same(one: Path, other: Path) -> bool:
    return one.is_file() and other.is_file() and filecmp.cmp(one, other, shallow=False)

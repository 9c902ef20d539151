from __future__ import annotations

import importlib
import pkgutil

import pytest

import bundle
import bundle.write
from bundle.segmentation.result_key import result_key
from bundle.write.case import RESULT_FILES


@pytest.fixture
def files(tmp_path):
    paths = [tmp_path / name for name in ("1.dcm", "2.dcm")]
    for path in paths:
        path.write_text(path.name)
    return paths


@pytest.fixture
def weights(tmp_path):
    path = tmp_path / "model.pt"
    path.write_text("weights")
    return [path]


SETTINGS = {"threshold": 0.5, "output_dir": "a", "checkpoint": "model.pt"}


def test_the_key_depends_on_what_the_scan_holds_not_on_its_name(files, weights, tmp_path):
    key = result_key(files, weights, SETTINGS)
    renamed = files[0].rename(tmp_path / "0.dcm")
    assert result_key([renamed, files[1]], weights, SETTINGS) == key
    renamed.write_text("other")
    assert result_key([renamed, files[1]], weights, SETTINGS) != key


def test_the_key_depends_on_the_order_of_the_files(files, weights):
    assert result_key(files[::-1], weights, SETTINGS) != result_key(files, weights, SETTINGS)


def test_the_key_depends_on_what_the_weights_hold_not_on_their_name(files, weights, tmp_path):
    copy = tmp_path / "copy.pt"
    copy.write_text("weights")
    other = tmp_path / "other.pt"
    other.write_text("other weights")
    key = result_key(files, weights, SETTINGS)
    assert result_key(files, [copy], {**SETTINGS, "checkpoint": "copy.pt"}) == key
    assert result_key(files, [other], SETTINGS) != key


def test_the_key_depends_on_settings_but_not_on_where_results_go(files, weights):
    key = result_key(files, weights, SETTINGS)
    assert result_key(files, weights, {**SETTINGS, "output_dir": "b"}) == key
    assert result_key(files, weights, {**SETTINGS, "threshold": 0.4}) != key


def test_the_key_depends_on_the_version(files, weights, monkeypatch):
    key = result_key(files, weights, SETTINGS)
    monkeypatch.setattr(bundle, "__version__", "9.9.9")
    assert result_key(files, weights, SETTINGS) != key


# What is not listed would survive --overwrite, and be hashed as part of a scan beside it.
def test_every_file_that_a_writer_makes_is_listed():
    names = [module.name for module in pkgutil.iter_modules(bundle.write.__path__, "bundle.write.")]
    made = {getattr(importlib.import_module(name), "FILE_NAME", None) for name in names} - {None}
    assert made <= set(RESULT_FILES)

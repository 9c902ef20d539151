"""bundle.training.cache: the key of a cached scan."""

from __future__ import annotations

import os

import pytest

from bundle.training import file_version_hash


@pytest.fixture
def item(tmp_path):
    for name in ("image", "label"):
        (tmp_path / name).write_bytes(b"voxels")
        os.utime(tmp_path / name, ns=(0, 0))
    return {"image": str(tmp_path / "image"), "label": str(tmp_path / "label"), "patient": "a"}


def test_key_stays_while_nothing_changes(item):
    assert file_version_hash(item) == file_version_hash(dict(reversed(item.items())))


@pytest.mark.parametrize("key", ["image", "label", "patient"])
def test_key_changes_with_every_entry(item, key):
    assert file_version_hash(item) != file_version_hash(item | {key: "b"})


@pytest.mark.parametrize("key", ["image", "label"])
def test_key_changes_with_the_time_of_the_file(item, key):
    before = file_version_hash(item)
    os.utime(item[key], ns=(0, 1))
    assert file_version_hash(item) != before


def test_key_changes_with_the_size_of_the_file(item):
    before = file_version_hash(item)
    with open(item["label"], "ab") as file:
        file.write(b"!")
    os.utime(item["label"], ns=(0, 0))
    assert file_version_hash(item) != before


def test_key_can_name_a_file(item):
    assert file_version_hash(item).decode().isalnum()

from __future__ import annotations

import json

import pytest

from bundle.errors import InputError
from bundle.read import label_classes

CLASSES = ("background", "pancreas", "left_kidney")


def write(folder, labels):
    (folder / "dataset.json").write_text(json.dumps({"labels": labels}))
    return folder


@pytest.mark.parametrize(
    ("labels", "mapping"),
    [
        ({"0": "background", "1": "pancreas"}, {0: 0, 1: 1}),
        ({"0": "Background", "3": "Kidney left", "7": "PANCREAS"}, {0: 0, 3: 2, 7: 1}),
        ({"background": 0, "pancreas": 4}, {0: 0, 4: 1}),
        ({"5": "pancreas"}, {0: 0, 5: 1}),
    ],
)
def test_the_names_of_the_data_set_are_matched_with_the_classes(tmp_path, labels, mapping):
    assert label_classes(write(tmp_path, labels), None, CLASSES) == mapping


def test_a_name_that_is_no_class_is_refused_with_the_remedy(tmp_path):
    write(tmp_path, {"0": "background", "1": "pancreas", "2": "cancer"})
    with pytest.raises(InputError) as caught:
        label_classes(tmp_path, None, CLASSES)
    assert "'cancer' for value 2" in str(caught.value)
    assert 'label_values, for example to {"0": "background", "1": "pancreas", "2": "pancreas"}' in str(caught.value)


@pytest.mark.parametrize(
    ("names", "proposal"),
    [({"1": "pancras"}, '{"1": "pancreas"}'), ({"1": "gut", "2": "lung"}, '{"1": "background", "2": "pancreas"}')],
)
def test_the_proposed_label_values_hold_a_class(tmp_path, names, proposal):
    with pytest.raises(InputError) as caught:
        label_classes(write(tmp_path, names), None, CLASSES)
    assert proposal in str(caught.value)
    label_classes(tmp_path, json.loads(proposal), CLASSES)


def test_other_names_count_as_background_unless_they_are_classes(tmp_path):
    write(tmp_path, {"1": "pancreas", "2": "Stomach", "3": "left kidney"})
    others = ("stomach", "liver", "left_kidney")
    assert label_classes(tmp_path, None, CLASSES, others) == {0: 0, 1: 1, 2: 0, 3: 2}


def test_a_name_that_is_neither_a_class_nor_another_is_refused(tmp_path):
    write(tmp_path, {"1": "pancreas", "2": "spleen"})
    with pytest.raises(InputError, match="'spleen' for value 2"):
        label_classes(tmp_path, None, CLASSES, ("stomach",))


def test_others_alone_are_no_foreground(tmp_path):
    with pytest.raises(InputError, match="one of the classes pancreas, left_kidney.*Correct classes, or set"):
        label_classes(write(tmp_path, {"1": "stomach"}), None, CLASSES, ("stomach",))


def test_given_label_values_win(tmp_path):
    write(tmp_path, {"0": "background", "1": "pancreas", "2": "cancer"})
    assert label_classes(tmp_path, {"1": "pancreas", "2": "pancreas"}, CLASSES) == {0: 0, 1: 1, 2: 1}


@pytest.mark.parametrize(
    ("label_values", "message"),
    [
        ({"1": "liver"}, "'liver' for value 1"),
        ({"one": "pancreas"}, "maps integers to class names"),
        ({"1": "background"}, "stands for one of the classes"),
    ],
)
def test_label_values_that_make_no_sense_are_refused(tmp_path, label_values, message):
    with pytest.raises(InputError, match=message):
        label_classes(tmp_path, label_values, CLASSES)


@pytest.mark.parametrize("labels", [None, {}, ["a"], {"pancreas": [1, 2]}])
def test_a_data_set_that_does_not_say_is_refused(tmp_path, labels):
    with pytest.raises(InputError, match="labels says what each label value is"):
        label_classes(write(tmp_path, labels), None, CLASSES)

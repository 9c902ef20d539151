from __future__ import annotations

import pytest

from bundle.label.segment_code import coded

PANCREAS = {"CodeValue": "15776009", "CodingSchemeDesignator": "SCT", "CodeMeaning": "Pancreas"}


@pytest.mark.parametrize("label_info", [None, [], [{}], [{"name": "pancreas", "idx": 1}]])
def test_a_label_without_a_code_is_a_pancreas(label_info):
    (segment,) = coded(label_info)
    assert segment["segmentAttribute"]["SegmentedPropertyTypeCodeSequence"] == PANCREAS


def test_what_the_client_says_stays():
    given = [{"name": "duct", "segmentAttribute": {"labelID": 1}, "model_name": "mine"}, {"name": "more"}]
    assert coded(given) == given

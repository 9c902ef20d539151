"""What a label that was saved to a PACS is of, said in DICOM's codes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bundle.package.contents import NAME

SERIES_DESCRIPTION = "Pancreas label, for research only"

_ATTRIBUTES = {
    "labelID": 1,
    "SegmentLabel": "Pancreas",
    "SegmentAlgorithmType": "SEMIAUTOMATIC",
    "SegmentAlgorithmName": NAME,
    "SegmentedPropertyCategoryCodeSequence": {
        "CodeValue": "123037004",
        "CodingSchemeDesignator": "SCT",
        "CodeMeaning": "Anatomical Structure",
    },
    "SegmentedPropertyTypeCodeSequence": {
        "CodeValue": "15776009",
        "CodingSchemeDesignator": "SCT",
        "CodeMeaning": "Pancreas",
    },
    "recommendedDisplayRGBValue": [249, 180, 111],
}


def coded(label_info: Sequence[dict[str, Any]] | None) -> list[dict[str, Any]]:
    """Return a client's ``label_info`` with the code of the pancreas for label 1, where the client gave none.

    MONAI Label 0.8.5 gives every label without a code that of the spleen (SNOMED CT 78961009), and 3D Slicer sends
    none. Keys as dcmqi's ``itkimage2segimage`` takes them.
    """
    first, *others = label_info or [{}]
    return [{"model_name": SERIES_DESCRIPTION, "segmentAttribute": _ATTRIBUTES, **first}, *others]

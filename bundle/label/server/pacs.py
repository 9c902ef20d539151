"""A PACS as the place of the studies; labels that are saved there say that they are of the pancreas."""

from __future__ import annotations

from typing import Any

from monailabel.datastore.dicom import DICOMWebDatastore

from bundle.label.segment_code import coded


class PancreasPacs(DICOMWebDatastore):
    """MONAI Label's DICOMweb store, whose DICOM SEG have the right code (:func:`bundle.label.segment_code.coded`)."""

    def save_label(
        self, image_id: str, label_filename: str, label_tag: str, label_info: dict[str, Any], label_id: str = ""
    ) -> str:
        """Save a label beside its study in the PACS, if it is a final one, and return its name."""
        info = {**label_info, "label_info": coded(label_info.get("label_info"))}
        return str(super().save_label(image_id, label_filename, label_tag, info, label_id))

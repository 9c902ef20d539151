"""Which tissue a structure's name stands for, and the label schemes that are known without a sidecar file."""

from __future__ import annotations

from collections.abc import Mapping

from bundle.rendering.tissues import CLASSES, Tissue

LABEL_SCHEMES: Mapping[str, Mapping[int, str]] = {
    # Gibson et al. 2018, multi-organ reference segmentations (https://doi.org/10.5281/zenodo.1169361).
    "gibson": {
        1: "spleen",
        2: "pancreas",
        3: "kidney_left",
        4: "gallbladder",
        5: "esophagus",
        6: "liver",
        7: "stomach",
        8: "duodenum",
    },
    # Ji et al. 2022, AMOS (https://arxiv.org/abs/2206.08023), table of the data set's 15 organs.
    "amos": {
        1: "spleen",
        2: "right kidney",
        3: "left kidney",
        4: "gallbladder",
        5: "esophagus",
        6: "liver",
        7: "stomach",
        8: "aorta",
        9: "postcava",
        10: "pancreas",
        11: "right adrenal gland",
        12: "left adrenal gland",
        13: "duodenum",
        14: "bladder",
        15: "prostate/uterus",
    },
}
"""Value to structure name, by the first word of a file name."""


def tissue_of(name: str) -> Tissue | None:
    """The tissue of a structure named as in TotalSegmentator (versions 1 and 2), AMOS or our own label maps.

    Letter case, spaces, hyphens and slashes do not matter. None for a name that no scheme knows.
    """
    return _TISSUE_OF_NAME.get(_normalised(name))


def _normalised(name: str) -> str:
    return "_".join(name.lower().replace("/", " ").replace("-", " ").replace("_", " ").split())


def _table() -> dict[str, Tissue]:
    table = {tissue.name.lower(): tissue for tissue in Tissue}
    table |= {name: Tissue(value) for value, name in enumerate(CLASSES)}
    for tissue, names in _STRUCTURES.items():
        table |= {name: tissue for name in names.split()}
    for tissue, names in _PAIRED_STRUCTURES.items():
        table |= {f"{name}_{side}": tissue for name in names.split() for side in ("left", "right")}
        table |= {f"{side}_{name}": tissue for name in names.split() for side in ("left", "right")}
    table |= {f"rib_{side}_{number}": Tissue.BONE for side in ("left", "right") for number in range(1, 13)}
    for region, count in (("C", 7), ("T", 12), ("L", 6), ("S", 1)):
        table |= {f"vertebrae_{region.lower()}{number}": Tissue.BONE for number in range(1, count + 1)}
    return table


# The arteries beside the coeliac and superior mesenteric ones enhance as the aorta does and are no class of their own,
# so they are the aorta's; arms are dropped, since they would widen the body where they lie beside it.
_STRUCTURES: Mapping[Tissue, str] = {
    Tissue.OUTSIDE: "air",
    Tissue.BOWEL: "small_bowel colon small_intestine large_intestine rectum jejunum",
    Tissue.KIDNEY_LEFT: "kidney_cyst_left left_kidney kidney_left",
    Tissue.KIDNEY_RIGHT: "kidney_cyst_right right_kidney kidney_right",
    Tissue.GALLBLADDER: "gall_bladder",
    Tissue.AORTA: "brachiocephalic_trunk arota",
    Tissue.VENA_CAVA: "inferior_vena_cava postcava ivc",
    Tissue.PORTAL_VEINS: "portal_vein_and_splenic_vein portal_vein splenic_vein superior_mesenteric_vein",
    Tissue.ARTERIES: "coeliac_trunk celiac_trunk superior_mesenteric_artery splenic_artery hepatic_artery",
    Tissue.BONE: "sacrum sternum skull vertebrae spine",
    Tissue.CARTILAGE: "costal_cartilages",
    Tissue.SPINAL_CANAL: "spinal_cord",
    Tissue.LUNG: "trachea lung_middle_lobe_right",
    Tissue.HEART: "heart heart_myocardium pulmonary_artery pulmonary_vein",
    Tissue.OESOPHAGUS: "esophagus",
    Tissue.BLADDER: "urinary_bladder",
    Tissue.OTHER_SOFT: "prostate uterus prostate_uterus thyroid_gland brain face",
    Tissue.OTHER_VEINS: "superior_vena_cava renal_vein",
}
_PAIRED_STRUCTURES: Mapping[Tissue, str] = {
    Tissue.OUTSIDE: "humerus",
    Tissue.AORTA: "iliac_artery subclavian_artery common_carotid_artery",
    Tissue.BONE: "clavicula femur hip scapula",
    Tissue.MUSCLE: "autochthon gluteus_maximus gluteus_medius gluteus_minimus iliopsoas",
    Tissue.LUNG: "lung lung_upper_lobe lung_lower_lobe",
    Tissue.HEART: "atrial_appendage heart_atrium heart_ventricle",
    Tissue.ADRENAL_GLANDS: "adrenal_gland",
    Tissue.OTHER_VEINS: "iliac_vena brachiocephalic_vein",
}
_TISSUE_OF_NAME = _table()

"""The tissues an anatomy is made of, and which of them a rendered label map shows."""

from __future__ import annotations

from enum import IntEnum


class Tissue(IntEnum):
    """Voxel value of a tissue in an anatomy (a uint8 map). Values up to ``ARTERIES`` are the label classes too.

    ``OUTSIDE`` is air around the body. What a bowel or the stomach holds is drawn by the renderer, so these organs are
    one value, wall and lumen together. ``FAT`` is fat inside the body wall, ``SUBCUTANEOUS_FAT`` outside the muscles.
    """

    OUTSIDE = 0
    PANCREAS = 1
    DUODENUM = 2
    STOMACH = 3
    BOWEL = 4
    LIVER = 5
    SPLEEN = 6
    KIDNEY_LEFT = 7
    KIDNEY_RIGHT = 8
    GALLBLADDER = 9
    AORTA = 10
    VENA_CAVA = 11
    PORTAL_VEINS = 12
    ARTERIES = 13
    FAT = 14
    SUBCUTANEOUS_FAT = 15
    SKIN = 16
    MUSCLE = 17
    BONE = 18
    CARTILAGE = 19
    SPINAL_CANAL = 20
    LUNG = 21
    HEART = 22
    OESOPHAGUS = 23
    ADRENAL_GLANDS = 24
    BLADDER = 25
    OTHER_SOFT = 26
    OTHER_VEINS = 27


CLASSES: tuple[str, ...] = (
    "background",
    "pancreas",
    "duodenum",
    "stomach",
    "bowel",
    "liver",
    "spleen",
    "left_kidney",
    "right_kidney",
    "gallbladder",
    "aorta",
    "vena_cava",
    "portal_veins",
    "arteries",
)
"""Label classes in channel order; class ``i`` > 0 is the tissue of value ``i``, all other tissues are background.

``portal_veins`` are the portal, splenic and superior mesenteric vein; ``arteries`` are the coeliac trunk, the hepatic,
splenic and superior mesenteric artery; ``bowel`` is small bowel and colon.
"""

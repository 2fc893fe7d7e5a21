"""The part and side of the body that a result is of, which General Series asks for (PS3.3 C.7.3.1)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from secondread.images.dicom.dataset import text

if TYPE_CHECKING:
    from pydicom import Dataset

_NAMES = """
    ABDOMEN ABDOMENPELVIS AORTA BACK BLADDER BRAIN CEREBELLUM CERVIX CHEST CHESTABDOMEN
    CHESTABDPELVIS CIRCLEOFWILLIS COCCYX COLON CORONARYARTERY CSPINE CTSPINE DUODENUM ESOPHAGUS FACE
    GALLBLADDER HEAD HEADNECK HEART ILEUM JAW JEJUNUM LARYNX LIVER LSPINE LSSPINE MAXILLA
    MEDIASTINUM MOUTH NECK NECKCHEST NECKCHESTABDOMEN NECKCHESTABDPELV NOSE PANCREAS PELVIS PENIS
    PHARYNX PROSTATE RECTUM SCALP SKULL SPINE SPLEEN SSPINE STERNUM STOMACH THYMUS THYROID TLSPINE
    TONGUE TRACHEA TSPINE URETHRA UTERUS VAGINA VULVA WHOLEBODY
"""
UNPAIRED = frozenset(_NAMES.split())
"""Values of BodyPartExamined (PS3.16 Annex L) of which there is one in the body, so that it has no side."""


_A_CODE = re.compile(r"[A-Z0-9_ ]{1,16}")


def set_body_part(result: Dataset, source: Dataset) -> None:
    """BodyPartExamined (0018,0015) and Laterality (0020,0060) as the source says them, the side there or in
    ImageLaterality.

    Where the source says no side it is empty, unless its body part is a single one: there the standard has no
    such element.
    """
    part = text(source, "BodyPartExamined")
    if _A_CODE.fullmatch(part):
        result.BodyPartExamined = part
    elif "BodyPartExamined" in result:
        del result.BodyPartExamined
    said = [text(source, keyword) for keyword in ("Laterality", "ImageLaterality")]
    side = next((one for one in said if one in ("L", "R")), "")
    if side or part not in UNPAIRED:
        result.Laterality = side
    elif "Laterality" in result:
        del result.Laterality

"""The side of the body that a result is of: what the module General Series asks for (PS3.3 C.7.3.1)."""

from __future__ import annotations

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


def set_laterality(result: Dataset, source: Dataset) -> None:
    """Laterality (0020,0060) as the source says it, there or in ImageLaterality.

    Where the source says none it is empty, unless its body part is a single one: there the standard has no
    such element.
    """
    said = [text(source, keyword) for keyword in ("Laterality", "ImageLaterality")]
    side = next((one for one in said if one in ("L", "R")), "")
    if side or text(source, "BodyPartExamined") not in UNPAIRED:
        result.Laterality = side
    elif "Laterality" in result:
        del result.Laterality

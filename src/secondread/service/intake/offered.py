"""What the storage SCP takes: every storage class, uncompressed and in the compressions that are in use."""

from __future__ import annotations

from pydicom.uid import UID_dictionary
from pynetdicom import build_context
from pynetdicom.presentation import PresentationContext
from pynetdicom.service_class import StorageServiceClass
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    _STORAGE_CLASSES,
    StorageCommitmentPushModel,
    Verification,
    register_uid,
)

UNCOMPRESSED = ("1.2.840.10008.1.2.1", "1.2.840.10008.1.2", "1.2.840.10008.1.2.2")
COMPRESSED = (
    "1.2.840.10008.1.2.4.70",  # JPEG lossless, first-order
    "1.2.840.10008.1.2.4.57",  # JPEG lossless
    "1.2.840.10008.1.2.4.80",  # JPEG-LS lossless
    "1.2.840.10008.1.2.4.90",  # JPEG 2000 lossless
    "1.2.840.10008.1.2.4.201",  # High-throughput JPEG 2000 lossless
    "1.2.840.10008.1.2.4.202",  # the same, by resolutions
    "1.2.840.10008.1.2.5",  # RLE
    "1.2.840.10008.1.2.4.50",  # JPEG baseline
    "1.2.840.10008.1.2.4.51",  # JPEG extended
    "1.2.840.10008.1.2.4.81",  # JPEG-LS near lossless
    "1.2.840.10008.1.2.4.91",  # JPEG 2000
    "1.2.840.10008.1.2.4.203",  # High-throughput JPEG 2000
    "1.2.840.10008.1.2.4.100",  # MPEG-2, main level
    "1.2.840.10008.1.2.4.101",  # MPEG-2, high level
    "1.2.840.10008.1.2.4.102",  # MPEG-4 high profile
    "1.2.840.10008.1.2.4.103",  # MPEG-4 BD-compatible
)
"""Lossless ones first. What an SCU proposes in none of these is refused by its context."""
_STORAGE = "1.2.840.10008.5.1.4.1.1."


def storage_classes() -> list[str]:
    """Every storage SOP class that pydicom or pynetdicom knows, retired ones as well, since devices live
    long."""
    known = {str(uid) for uid in _STORAGE_CLASSES.values()}
    for uid, (name, kind, _, _, keyword) in UID_dictionary.items():
        if uid.startswith(_STORAGE) and kind == "SOP Class" and "Storage" in name and uid not in known:
            register_uid(uid, keyword, StorageServiceClass)
            known.add(uid)
    return sorted(known)


def offered() -> list[PresentationContext]:
    """What the SCP answers to; the limit of 128 is on what one SCU proposes."""
    syntaxes = [*UNCOMPRESSED, *COMPRESSED]
    contexts = [build_context(uid, syntaxes) for uid in storage_classes()]
    plain = list(UNCOMPRESSED[:2])
    return [*contexts, build_context(Verification, plain), build_context(StorageCommitmentPushModel, plain)]

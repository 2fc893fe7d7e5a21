"""Acquisition facts of a DICOM header, none of which says who the patient is.

Header text leaves the reader in two forms only: as a term of a known vocabulary, or cleaned (see `cleaned`).
Numbers leave it as numbers; what should be a number and is none is left out, and its text appears nowhere.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from secondread.images.dicom.dataset import frame_item, text
from secondread.images.dicom.numbers import HeaderValueError, number
from secondread.images.dicom.views import coded_view

if TYPE_CHECKING:
    from pydicom import Dataset

_NUMBERS = {
    "rows": "Rows",
    "columns": "Columns",
    "frames": "NumberOfFrames",
    "samples": "SamplesPerPixel",
    "bits_allocated": "BitsAllocated",
    "bits": "BitsStored",
    "signed": "PixelRepresentation",
    "kvp": "KVP",
    "exposure": "Exposure",
    "tube_current": "XRayTubeCurrent",
    "field_strength": "MagneticFieldStrength",
    "repetition_time": "RepetitionTime",
    "echo_time": "EchoTime",
    "slice_thickness": "SliceThickness",
}
_FREE = {
    "manufacturer": "Manufacturer",
    "model": "ManufacturerModelName",
    "body_part": "BodyPartExamined",
    "view": "ViewPosition",
    "kernel": "ConvolutionKernel",
}
_TERMS = {
    "photometric": (
        "PhotometricInterpretation",
        frozenset(
            {"MONOCHROME1", "MONOCHROME2", "PALETTE COLOR", "RGB", "HSV", "ARGB", "CMYK", "YBR_FULL"}
            | {"YBR_FULL_422", "YBR_PARTIAL_422", "YBR_PARTIAL_420", "YBR_ICT", "YBR_RCT", "XYB"}
        ),
    ),
    "burned_in": ("BurnedInAnnotation", frozenset({"YES", "NO"})),
    "lossy": ("LossyImageCompression", frozenset({"00", "01"})),
}
LATERALITIES = frozenset({"L", "R", "U", "B"})
# PS3.3 C.7.3.1.1.1, retired terms that files still have included.
_MODALITIES = """
    ANN AR ASMT AU BDUS BI BMD CFM CR CT CTPROTOCOL DG DMS DOC DX ECG EEG EMG EOG EPS ES FID GM HC HD IO IOL
    IVOCT IVUS KER KO LEN LS M3D MA MG MR NM OAM OCT OP OPM OPT OPTBSV OPTENF OPV OSS OT PA PLAN POS PR PT PX
    REG RESP RF RG RTDOSE RTIMAGE RTINTENT RTPLAN RTRAD RTRECORD RTSEGANN RTSTRUCT RWV SEG SM SMR SR SRF STAIN
    TEXTUREMAP TG US VA XA XAPROTOCOL XC AS CD CF CP CS DD DF DM DS EC FA FS LP MS OPR ST SC VF
"""
MODALITIES = frozenset(_MODALITIES.split())
_SAID_AS = {"MRI": "MR", "PET": "PT", "CAT": "CT"}
_SOP_CLASSES = {
    **dict.fromkeys(("1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.2.1"), "CT"),
    **dict.fromkeys(("1.2.840.10008.5.1.4.1.1.4", "1.2.840.10008.5.1.4.1.1.4.1"), "MR"),
    **dict.fromkeys(("1.2.840.10008.5.1.4.1.1.128", "1.2.840.10008.5.1.4.1.1.130"), "PT"),
}
PERSONS = (
    "PatientName",
    "PatientID",
    "OtherPatientIDs",
    "OtherPatientNames",
    "PatientBirthName",
    "ReferringPhysicianName",
    "PerformingPhysicianName",
    "PhysiciansOfRecord",
    "NameOfPhysiciansReadingStudy",
    "RequestingPhysician",
    "OperatorsName",
    "AccessionNumber",
)
"""Elements that name a person; what they hold appears in no cleaned text."""
_LONGEST = 40
_PLAIN = re.compile(r"[A-Za-z0-9 .,+/_()&-]+", re.ASCII)
_TELLING = re.compile(r"\d{6}|\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.]\d{4}|\d+(\.\d+){3}|//")


def acquisition_facts(dataset: Dataset) -> dict[str, str]:
    """The facts that the header has, by short names. ContrastBolusAgent is free text and becomes "yes"."""
    persons = persons_of(dataset)
    facts = {"modality": modality_of(dataset)}
    facts |= {name: _number(dataset, keyword) for name, keyword in _NUMBERS.items()}
    facts |= {name: cleaned(text(dataset, keyword), persons) for name, keyword in _FREE.items()}
    for name, (keyword, terms) in _TERMS.items():
        facts[name] = found if (found := text(dataset, keyword).upper()) in terms else ""
    if text(dataset, "ContrastBolusAgent"):
        facts["contrast"] = "yes"
    anatomy = frame_item(dataset, 0, "FrameAnatomySequence")
    sides = [text(dataset, "ImageLaterality"), text(dataset, "Laterality")]
    sides.append("" if anatomy is None else text(anatomy, "FrameLaterality"))
    facts["view"] = facts["view"] or coded_view(dataset)
    facts["laterality"] = next((side.upper() for side in sides if side.upper() in LATERALITIES), "")
    meta = getattr(dataset, "file_meta", None)
    facts["sop_class"] = _known_uid(text(dataset, "SOPClassUID"))
    facts["transfer_syntax"] = _known_uid(text(meta, "TransferSyntaxUID")) if meta is not None else ""
    facts["format"] = "DICOM"
    return {name: found for name, found in facts.items() if found}


def modality_of(dataset: Dataset) -> str:
    """The modality as DICOM writes it, in capitals; where the header names none that DICOM knows, that of its
    SOP class for CT, MR and PT; else empty."""
    said = text(dataset, "Modality").upper()
    said = _SAID_AS.get(said, said)
    if said in MODALITIES:
        return said
    return next((_SOP_CLASSES[uid] for uid in sop_classes(dataset) if uid in _SOP_CLASSES), "")


def sop_classes(dataset: Dataset) -> tuple[str, str]:
    """The SOP class as the data set and as the file meta header says it; empty where they do not."""
    meta = getattr(dataset, "file_meta", None)
    return text(dataset, "SOPClassUID"), "" if meta is None else text(meta, "MediaStorageSOPClassUID")


def about_loss(facts: Mapping[str, str]) -> tuple[str, ...]:
    """What is to be said of an image that its header calls compressed with loss."""
    return ("compressed with loss (LossyImageCompression)",) if facts.get("lossy") == "01" else ()


def about_photometric(dataset: Dataset) -> tuple[str, ...]:
    """What is to be said of a header, as it was read, that does not say whether high is bright."""
    if text(dataset, "PhotometricInterpretation"):
        return ()
    return ("PhotometricInterpretation is missing: read as MONOCHROME2, higher is brighter",)


def cleaned(found: str, persons: frozenset[str] = frozenset()) -> str:
    """Free header text that may stand in an output, else nothing.

    At most 40 letters, digits, spaces and plain signs, from a letter or digit on (so that no spreadsheet
    takes it for a formula). Text with any other character, with something like a date, a UID, a web address
    or six digits in a row, or with a word of `persons` (in small letters) is left out.
    """
    found = " ".join(found.replace("\\", " ").split()).lstrip("+-@=./,_&( ")
    words = {word.casefold() for word in re.split(r"[^A-Za-z0-9]+", found)}
    if not _PLAIN.fullmatch(found) or _TELLING.search(found) or words & persons:
        return ""
    return found[:_LONGEST].rstrip()


def persons_of(dataset: Dataset) -> frozenset[str]:
    """The words, of three letters or more, by which the header names persons, in small letters."""
    words = {
        word.casefold()
        for keyword in PERSONS
        for word in re.split(r"[\W_]+", text(dataset, keyword))
        if len(word) >= 3
    }
    return frozenset(words)


def _number(dataset: Dataset, keyword: str) -> str:
    try:
        found = number(dataset, keyword)
    except HeaderValueError:
        return ""
    return "" if found is None else f"{found:.12g}"


def _known_uid(uid: str) -> str:
    from pydicom.uid import UID_dictionary

    return uid if uid in UID_dictionary else ""

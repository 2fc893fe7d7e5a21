"""Acquisition facts of a DICOM header, none of which says who the patient is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from secondread.images.dicom_dataset import frame_item, text

if TYPE_CHECKING:
    from pydicom import Dataset

_FACTS = {
    "modality": "Modality",
    "manufacturer": "Manufacturer",
    "model": "ManufacturerModelName",
    "sop_class": "SOPClassUID",
    "image_type": "ImageType",
    "rows": "Rows",
    "columns": "Columns",
    "frames": "NumberOfFrames",
    "samples": "SamplesPerPixel",
    "photometric": "PhotometricInterpretation",
    "bits_allocated": "BitsAllocated",
    "bits": "BitsStored",
    "signed": "PixelRepresentation",
    "body_part": "BodyPartExamined",
    "view": "ViewPosition",
    "laterality": "ImageLaterality",
    "kvp": "KVP",
    "exposure": "Exposure",
    "tube_current": "XRayTubeCurrent",
    "kernel": "ConvolutionKernel",
    "contrast": "ContrastBolusAgent",
    "field_strength": "MagneticFieldStrength",
    "repetition_time": "RepetitionTime",
    "echo_time": "EchoTime",
    "slice_thickness": "SliceThickness",
    "burned_in": "BurnedInAnnotation",
    "lossy": "LossyImageCompression",
}


def acquisition_facts(dataset: Dataset) -> dict[str, str]:
    """The facts that the header has, by short names. ContrastBolusAgent is free text and becomes "yes"."""
    facts = {name: found for name, keyword in _FACTS.items() if (found := text(dataset, keyword))}
    if "contrast" in facts:
        facts["contrast"] = "yes"
    if "laterality" not in facts:
        anatomy = frame_item(dataset, 0, "FrameAnatomySequence")
        found = text(dataset, "Laterality") or ("" if anatomy is None else text(anatomy, "FrameLaterality"))
        if found:
            facts["laterality"] = found
    meta = getattr(dataset, "file_meta", None)
    syntax = text(meta, "TransferSyntaxUID") if meta is not None else ""
    if syntax:
        facts["transfer_syntax"] = syntax
    facts["format"] = "DICOM"
    return facts

"""Small instances for the tests of the intake, as bytes of files."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pydicom
from made_study import header
from pydicom.uid import DigitalXRayImageStorageForPresentation, EnhancedSRStorage, generate_uid

NAMES = ("Doe", "Jürgen", "4711", "19500102", "A77")
"""What must appear in no log and in no answer."""


def film(study: str = "1.2.3.1", uid: str | None = None, **elements: object) -> bytes:
    """A radiograph of eight by eight pixels."""
    made = header(DigitalXRayImageStorageForPresentation, "DX", np.zeros((8, 8), np.uint16))
    made.StudyInstanceUID, made.SeriesInstanceUID = study, f"{study}.1"
    made.SOPInstanceUID = made.file_meta.MediaStorageSOPInstanceUID = uid or generate_uid()
    made.BodyPartExamined, made.ViewPosition = "CHEST", "PA"
    for name, value in elements.items():
        setattr(made, name, value)
    return as_file(made)


def report(study: str = "1.2.3.1", **elements: object) -> bytes:
    """An object without pixels."""
    made = header(EnhancedSRStorage, "SR", np.zeros((8, 8), np.uint16))
    made.StudyInstanceUID, made.SeriesInstanceUID = study, f"{study}.2"
    for name in ("PixelData", "Rows", "Columns"):
        delattr(made, name)
    for name, value in elements.items():
        setattr(made, name, value)
    return as_file(made)


def as_file(made: pydicom.Dataset) -> bytes:
    stream = BytesIO()
    pydicom.dcmwrite(stream, made, enforce_file_format=True)
    return stream.getvalue()

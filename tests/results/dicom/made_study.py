"""Studies made on the spot, with a lesion drawn into the stored pixels at a place in the patient."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    CTImageStorage,
    DigitalXRayImageStorageForPresentation,
    EnhancedCTImageStorage,
    ExplicitVRLittleEndian,
    UltrasoundMultiFrameImageStorage,
    generate_uid,
)

ROWS, COLUMNS = 24, 20
SPACING = (1.5, 2.0)
RADIUS = 5.0
"""Of the lesion, millimetres."""


@dataclass(frozen=True)
class Slices:
    """Where slices lie: LPS millimetres of first pixels `[slices, 3]`, and the directions along a row and
    down a column."""

    origins: np.ndarray
    along_columns: np.ndarray
    along_rows: np.ndarray

    def positions(self, number: int) -> np.ndarray:
        """LPS millimetres of every pixel of one slice, `[rows, columns, 3]` (PS3.3 C.7.6.2.1.1)."""
        rows, columns = np.mgrid[:ROWS, :COLUMNS]
        return (
            self.origins[number]
            + rows[..., None] * SPACING[0] * self.along_rows
            + columns[..., None] * SPACING[1] * self.along_columns
        )


def slices(kind: str) -> Slices:
    """Seven axial, `oblique`, `reversed`, `uneven` or `tilted` slices, four millimetres apart."""
    columns, rows = np.array([1.0, 0, 0]), np.array([0, 1.0, 0])
    if kind == "oblique":
        columns = np.array([0.8, 0.5, 0.3])
        columns /= np.linalg.norm(columns)
        rows = np.cross([-0.2, 0.1, 1.0], columns)
        rows /= np.linalg.norm(rows)
    normal = np.cross(columns, rows)
    heights = {"reversed": -4.0, "uneven": 1.0}.get(kind, 4.0) * np.arange(7)
    if kind == "uneven":
        heights = np.array([0.0, 4.0, 8.0, 12.0, 18.5, 25.0, 31.5])
    step = normal + (0.3 * rows if kind == "tilted" else 0.0)
    return Slices(np.array([-20.0, 13.0, 40.0]) + heights[:, None] * step, columns, rows)


def stored(place: Slices, number: int, lesion: np.ndarray) -> np.ndarray:
    """A slice's stored values: 40, and 1000 within `RADIUS` of the lesion."""
    near = np.linalg.norm(place.positions(number) - lesion, axis=-1) <= RADIUS
    return np.where(near, 1000, 40).astype(np.int16)


def header(sop_class: str, modality: str, pixels: np.ndarray) -> FileDataset:
    """An instance with its patient, study and series; `pixels` `[rows, columns]` or `[frames, …]`."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = sop_class
    meta.MediaStorageSOPInstanceUID = generate_uid()
    made = FileDataset("made.dcm", {}, file_meta=meta, preamble=b"\0" * 128)
    made.SOPClassUID, made.SOPInstanceUID = sop_class, meta.MediaStorageSOPInstanceUID
    made.SpecificCharacterSet = "ISO_IR 192"
    made.PatientName, made.PatientID = "Doe^Jürgen", "P-4711"
    made.PatientBirthDate, made.PatientSex = "19500102", "M"
    made.StudyInstanceUID, made.SeriesInstanceUID = (
        "1.2.826.0.1.3680043.8.498.1",
        "1.2.826.0.1.3680043.8.498.2",
    )
    made.StudyDate, made.StudyTime, made.StudyID, made.AccessionNumber = "20240501", "101112", "S1", "A77"
    made.ReferringPhysicianName = "Who^Doctor"
    made.Modality, made.Manufacturer, made.SeriesNumber, made.InstanceNumber = modality, "Maker", 3, 1
    made.Rows, made.Columns = pixels.shape[-2:]
    made.SamplesPerPixel, made.PhotometricInterpretation = 1, "MONOCHROME2"
    if pixels.ndim == 3:
        made.NumberOfFrames = len(pixels)
    bits = 8 * pixels.dtype.itemsize
    made.BitsAllocated, made.BitsStored, made.HighBit = bits, bits, bits - 1
    made.PixelRepresentation = int(pixels.dtype.kind == "i")
    made.PixelData = pixels.tobytes()
    made["PixelData"].VR = "OW" if bits > 8 else "OB"
    return made


def write(path: Path, made: Dataset) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pydicom.dcmwrite(path, made, enforce_file_format=True)
    return path


def write_series(folder: Path, place: Slices, lesion: np.ndarray, **elements: object) -> Path:
    """A CT series with its files in shuffled order, by name and by number. Elements that are None are left
    out."""
    for name, number in enumerate(np.random.default_rng(3).permutation(len(place.origins))):
        made = header(CTImageStorage, "CT", stored(place, int(number), lesion))
        made.InstanceNumber = name + 1
        made.FrameOfReferenceUID = "1.2.826.0.1.3680043.8.498.3"
        made.ImagePositionPatient = [round(float(one), 6) for one in place.origins[number]]
        made.ImageOrientationPatient = [
            float(f"{one:.12g}") for one in (*place.along_columns, *place.along_rows)
        ]
        made.PixelSpacing, made.SliceThickness = list(SPACING), 4.0
        made.RescaleIntercept, made.RescaleSlope = 0, 1
        set_elements(made, elements)
        write(folder / f"{name:02}.dcm", made)
    return folder


def write_enhanced(
    path: Path, place: Slices, lesion: np.ndarray, order: list[int], **elements: object
) -> Path:
    """An enhanced CT whose frames are the slices in `order`."""
    made = header(EnhancedCTImageStorage, "CT", np.stack([stored(place, number, lesion) for number in order]))
    made.FrameOfReferenceUID = "1.2.826.0.1.3680043.8.498.3"
    shared = Dataset()
    shared.PixelMeasuresSequence = _one(PixelSpacing=list(SPACING), SliceThickness=4.0)
    shared.PlaneOrientationSequence = _one(
        ImageOrientationPatient=[float(f"{one:.12g}") for one in (*place.along_columns, *place.along_rows)]
    )
    made.SharedFunctionalGroupsSequence = Sequence([shared])
    frames = []
    for number in order:
        frame = Dataset()
        frame.PlanePositionSequence = _one(
            ImagePositionPatient=[round(float(one), 6) for one in place.origins[number]]
        )
        frames.append(frame)
    made.PerFrameFunctionalGroupsSequence = Sequence(frames)
    set_elements(made, elements)
    return write(path, made)


def write_film(path: Path, pixels: np.ndarray, **elements: object) -> Path:
    """A radiograph without a place in the patient."""
    made = header(DigitalXRayImageStorageForPresentation, "DX", pixels)
    made.PhotometricInterpretation = "MONOCHROME1"
    made.ImagerPixelSpacing = [0.2, 0.2]
    set_elements(made, elements)
    return write(path, made)


def write_clip(path: Path, pixels: np.ndarray, **elements: object) -> Path:
    """An ultrasound clip, whose frames have no place in the patient."""
    made = header(UltrasoundMultiFrameImageStorage, "US", pixels)
    made.FrameTime = 40.0
    made.FrameIncrementPointer = 0x00181063
    set_elements(made, elements)
    return write(path, made)


def set_elements(made: Dataset, elements: dict[str, object]) -> None:
    for keyword, element in elements.items():
        if element is None:
            if keyword in made:
                delattr(made, keyword)
        else:
            setattr(made, keyword, element)


def _one(**elements: object) -> Sequence:
    made = Dataset()
    for keyword, element in elements.items():
        setattr(made, keyword, element)
    return Sequence([made])

"""Small studies as three modalities send them, in which dciodvfy finds nothing: a film without geometry, a CT
series, and an ultrasound clip."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    ComputedRadiographyImageStorage,
    CTImageStorage,
    ExplicitVRLittleEndian,
    UltrasoundMultiFrameImageStorage,
)

ROOT = "1.2.826.0.1.3680043.10.511.7"
NAME = "Müller^Zoë"
"""Not in ASCII, so that a character set that gets lost is seen."""
STUDY = {
    "SpecificCharacterSet": "ISO_IR 192",
    "PatientName": NAME,
    "PatientID": "MRN-4711",
    "PatientBirthDate": "19610203",
    "PatientSex": "F",
    "StudyDate": "20260102",
    "StudyTime": "101500",
    "AccessionNumber": "ACC-77",
    "ReferringPhysicianName": "Quill^Peregrine",
    "StudyID": "S1",
    "StudyDescription": "Follow-up",
    "Manufacturer": "ACME",
    "ManufacturerModelName": "Scan 3",
    "SeriesNumber": 3,
    "InstanceNumber": 1,
    "ContentDate": "20260102",
    "ContentTime": "101600",
    "PatientOrientation": "",
    "BurnedInAnnotation": "NO",
    "SamplesPerPixel": 1,
    "PhotometricInterpretation": "MONOCHROME2",
    "PixelRepresentation": 0,
}


def film(file: Path, pixels: np.ndarray, number: int = 1) -> Path:
    """A chest film: no position, no frame of reference, only the detector's own spacing."""
    return _write(
        file,
        pixels,
        number,
        SOPClassUID=ComputedRadiographyImageStorage,
        Modality="CR",
        ImageType=["ORIGINAL", "PRIMARY"],
        BodyPartExamined="CHEST",
        ViewPosition="PA",
        PatientOrientation=["L", "F"],
        ImagerPixelSpacing=[0.4, 0.4],
        AcquisitionNumber=1,
    )


def ct_series(folder: Path, volume: np.ndarray, number: int = 2) -> list[Path]:
    """`[slices, rows, columns]` in HU, slanted in the patient, with slices stored from the top down and
    numbered the other way than they lie."""
    across, down = np.array([1.0, 0.0, 0.0]), np.array([0.0, 0.8, -0.6])
    normal = np.cross(across, down)
    files = []
    for index, plane in enumerate(volume):
        place = np.array([-20.0, -15.0, 40.0]) + 2.5 * index * normal
        files.append(
            _write(
                folder / f"{len(volume) - index:03}.dcm",
                (plane + 1024).astype(np.uint16),
                number,
                SOPClassUID=CTImageStorage,
                Modality="CT",
                ImageType=["ORIGINAL", "PRIMARY", "AXIAL"],
                InstanceNumber=len(volume) - index,
                AcquisitionNumber=1,
                KVP=120,
                RescaleIntercept=-1024,
                RescaleSlope=1,
                RescaleType="HU",
                PixelSpacing=[0.9, 0.7],
                ImageOrientationPatient=[*across, *down],
                ImagePositionPatient=[round(float(value), 4) for value in place],
                SliceThickness=2.5,
                FrameOfReferenceUID=f"{ROOT}.{number}.9",
                PositionReferenceIndicator="",
                PatientPosition="HFS",
                BodyPartExamined="CHEST",
            )
        )
    return files


def clip(file: Path, frames: np.ndarray, number: int = 3) -> Path:
    """An ultrasound clip `[frames, rows, columns]` of 25 frames a second."""
    return _write(
        file,
        frames.astype(np.uint8),
        number,
        SOPClassUID=UltrasoundMultiFrameImageStorage,
        Modality="US",
        ImageType=["ORIGINAL", "PRIMARY"],
        BodyPartExamined="HEART",
        NumberOfFrames=len(frames),
        FrameTime=40.0,
        FrameIncrementPointer=0x00181063,
        LossyImageCompression="00",
    )


def _write(file: Path, pixels: np.ndarray, number: int, **elements: object) -> Path:
    """A file of the study `number`."""
    one = Dataset()
    one.file_meta = FileMetaDataset()
    one.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    bits = 8 * pixels.dtype.itemsize
    for keyword, value in {**STUDY, **elements}.items():
        setattr(one, keyword, value)
    one.StudyInstanceUID, one.SeriesInstanceUID = f"{ROOT}.{number}", f"{ROOT}.{number}.1"
    one.SOPInstanceUID = f"{ROOT}.{number}.1.{one.InstanceNumber}"
    one.Rows, one.Columns = pixels.shape[-2:]
    one.BitsAllocated, one.BitsStored, one.HighBit = bits, bits, bits - 1
    one.add_new("PixelData", "OB" if bits == 8 else "OW", pixels.tobytes())
    file.parent.mkdir(parents=True, exist_ok=True)
    one.save_as(file, enforce_file_format=True)
    return file

"""Small DICOM files, written as a scanner would."""

from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian


def write_dicom(
    path: Path, *, frames: int = 1, seed: int = 0, stored: np.ndarray | None = None, **fields: object
) -> Path:
    """A file of 8×6 random pixels, or of `stored`; `fields` are DICOM keywords that replace or add to the
    usual ones."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    usual = {
        "SOPClassUID": CTImageStorage,
        "SOPInstanceUID": pydicom.uid.generate_uid(),
        "PatientID": "MRN-4711",
        "PatientName": "Quill^Peregrine",
        "StudyInstanceUID": "1.2.3",
        "SeriesInstanceUID": "1.2.3.4",
        "Modality": "CT",
        "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"],
        "ImageOrientationPatient": [1, 0, 0, 0, 1, 0],
        "ImagePositionPatient": [0, 0, 0],
        "PixelSpacing": [0.5, 0.5],
        "BurnedInAnnotation": "NO",
        "Manufacturer": "ACME",
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "Rows": 8,
        "Columns": 6,
        "BitsAllocated": 16,
        "BitsStored": 16,
        "HighBit": 15,
        "PixelRepresentation": 0,
    }
    for keyword, value in {**usual, **fields}.items():
        if value is not None:
            setattr(dataset, keyword, value)
    if frames > 1:
        dataset.NumberOfFrames = frames
    if stored is None:
        shape = (frames, dataset.Rows, dataset.Columns)
        stored = np.random.default_rng(seed).integers(0, 999, shape, dtype=np.uint16)
    dataset.Rows, dataset.Columns = stored.shape[-2:]
    dataset.PixelData = np.ascontiguousarray(stored).tobytes()
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset.save_as(path, enforce_file_format=True)
    return path


def write_series(folder: Path, count: int = 4, gap: float = 3.0, **fields: object) -> Path:
    for i in range(count):
        write_dicom(folder / f"{i}.dcm", **{"ImagePositionPatient": [0, 0, i * gap], **fields})
    return folder

"""A DICOM data set made on the spot, valid unless a test bends it."""

from __future__ import annotations

import numpy as np
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid


def dicom_dataset(stored: np.ndarray, **elements: object) -> FileDataset:
    """A data set with `stored` `[rows, columns(, 3)]` or `[frames, rows, columns]` as its pixels."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    dataset = FileDataset("made.dcm", {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.SOPClassUID = CTImageStorage
    dataset.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    dataset.Modality = "CT"
    dataset.PatientName = "Doe^Jane"
    dataset.PatientID = "P-4711"
    colour = stored.ndim == 3 and stored.shape[-1] == 3
    dataset.Rows, dataset.Columns = stored.shape[:2] if colour else stored.shape[-2:]
    if stored.ndim == 3 and not colour:
        dataset.NumberOfFrames = stored.shape[0]
    dataset.SamplesPerPixel = 3 if colour else 1
    if colour:
        dataset.PlanarConfiguration = 0
    dataset.PhotometricInterpretation = "RGB" if colour else "MONOCHROME2"
    if stored.dtype.kind in "iu":
        bits = 8 * stored.dtype.itemsize
        dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = bits, bits, bits - 1
        dataset.PixelRepresentation = int(stored.dtype.kind == "i")
        dataset.PixelData = stored.tobytes()
        dataset["PixelData"].VR = "OW" if bits > 8 else "OB"
    elif stored.dtype == np.float32:
        dataset.BitsAllocated = 32
        dataset.FloatPixelData = stored.tobytes()
    else:
        dataset.BitsAllocated = 64
        dataset.DoubleFloatPixelData = stored.tobytes()
    for keyword, element in elements.items():
        setattr(dataset, keyword, element)
    return dataset

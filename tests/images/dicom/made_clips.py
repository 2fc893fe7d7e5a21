"""Ultrasound clips, written as a scanner would: several frames, their times, grey or colour."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pydicom
from PIL import Image as Picture
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import ExplicitVRLittleEndian, JPEGBaseline8Bit, UltrasoundMultiFrameImageStorage

STUDY, SERIES, PATIENT = "1.2.826.4.1", "1.2.826.4.1.7", "MRN-0815"


def clip_dataset(stored: np.ndarray, **elements: object) -> FileDataset:
    """Frames `[frames, rows, columns]` or `[frames, rows, columns, 3]` of 8 bits; `elements` replace the
    usual ones, and None leaves one out."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = UltrasoundMultiFrameImageStorage
    meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid()
    dataset = FileDataset("clip.dcm", {}, file_meta=meta, preamble=b"\0" * 128)
    colour = stored.ndim == 4
    usual: dict[str, object] = {
        "SOPClassUID": UltrasoundMultiFrameImageStorage,
        "SOPInstanceUID": meta.MediaStorageSOPInstanceUID,
        "PatientID": PATIENT,
        "PatientName": "Quill^Peregrine",
        "StudyInstanceUID": STUDY,
        "SeriesInstanceUID": SERIES,
        "Modality": "US",
        "BurnedInAnnotation": "NO",
        "NumberOfFrames": len(stored),
        "Rows": stored.shape[1],
        "Columns": stored.shape[2],
        "SamplesPerPixel": 3 if colour else 1,
        "PlanarConfiguration": 0 if colour else None,
        "PhotometricInterpretation": "RGB" if colour else "MONOCHROME2",
        "BitsAllocated": 8,
        "BitsStored": 8,
        "HighBit": 7,
        "PixelRepresentation": 0,
        "FrameTime": 40,
    }
    for keyword, element in {**usual, **elements}.items():
        if element is not None:
            setattr(dataset, keyword, element)
    dataset.PixelData = stored.astype(np.uint8).tobytes()
    dataset["PixelData"].VR = "OB"
    return dataset


def write_clip(path: Path, stored: np.ndarray, **elements: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    clip_dataset(stored, **elements).save_as(path, enforce_file_format=True)
    return path


def write_jpeg_clip(path: Path, stored: np.ndarray, *, broken: int | None = None, **elements: object) -> Path:
    """Frames compressed by JPEG, colour as YBR_FULL_422; the data of frame `broken` end too early."""
    streams = []
    for number, frame in enumerate(stored):
        written = io.BytesIO()
        Picture.fromarray(frame.astype(np.uint8)).save(written, "JPEG", quality=95)
        data = written.getvalue()
        streams.append(data[:-30] if number == broken else data)
    dataset = clip_dataset(
        stored, PhotometricInterpretation="YBR_FULL_422" if stored.ndim == 4 else "MONOCHROME2", **elements
    )
    dataset.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    dataset.PixelData = encapsulate(streams)
    dataset["PixelData"].is_undefined_length = True
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset.save_as(path, enforce_file_format=True)
    return path

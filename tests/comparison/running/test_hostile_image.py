"""A run of a comparison whose images hold one that ends the process which decodes it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import FileMetaDataset
from pydicom.uid import JPEGLosslessSV1, SecondaryCaptureImageStorage
from tiny_tasks import intensity_task

from secondread.cohorts.manifest import Manifest
from secondread.cohorts.row import Row
from secondread.comparison.running.one_run import work
from secondread.images.image import ImageError
from secondread.images.read import read_image
from secondread.images.workers.map_in_workers import call_in_worker
from secondread.readings.readings import Readings


def crashing(path: Path) -> Path:
    """A lossless JPEG whose header says 17 bits, for which GDCM's decoder claims no memory and writes."""
    frame = bytes.fromhex(
        "ffd8 ffc3000b 11 00180014 01 011100"
        f"ffc40015 00 0101{'00' * 14} 0308"
        f"ffda0008 01 0100 010000 9fd5 {'55' * 244} ffd9"
    )
    dataset = pydicom.Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = JPEGLosslessSV1
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = SecondaryCaptureImageStorage
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = "1.2.3"
    dataset.Modality, dataset.PhotometricInterpretation = "OT", "MONOCHROME2"
    dataset.Rows, dataset.Columns, dataset.SamplesPerPixel = 24, 20, 1
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 8, 8, 7
    dataset.PixelRepresentation = 0
    dataset.PixelData = pydicom.encaps.encapsulate([frame])
    dataset["PixelData"].is_undefined_length = True
    pydicom.dcmwrite(path, dataset, enforce_file_format=True)
    return path


@pytest.mark.slow
def test_it_costs_its_rows_and_not_the_run(phantoms: Manifest, tmp_path: Path) -> None:
    bad = {split: str(crashing(tmp_path / f"{split}.dcm")) for split in ("train", "test")}
    with pytest.raises(ImageError, match="its decoding process was ended by SIG"):
        call_in_worker(read_image, bad["test"])
    rows = [replace(row, path=phantoms.reference(row)) for row in phantoms.rows]
    rows += [Row(path, split=split, label="normal", patient_id=split) for split, path in bad.items()]
    Manifest(tuple(rows), tmp_path).write(tmp_path / "manifest.csv")
    task = intensity_task(tmp_path / "comparison", tmp_path / "manifest.csv", workers=1)
    work(task)
    readings = {reading.path: reading for reading in Readings.read(task.place / "readings").rows}
    assert task.done
    assert "ended by SIG" in readings[bad["test"]].error
    assert sum(reading.score is not None for reading in readings.values()) == len(readings) - 1 == 12

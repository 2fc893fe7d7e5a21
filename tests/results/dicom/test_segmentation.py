"""The pixels at or above the threshold as a DICOM Segmentation: what it says, and of what."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import made_study
import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from secondread.errors import DataError
from secondread.results.dicom.segmentation import segmentation
from secondread.results.dicom.source import Source, read_source

Identity = Callable[[], dict[str, Any]]
PIXELS = np.zeros((24, 20), np.uint16)


def of(source: Source, heat: np.ndarray, identity: Identity, folder: Path, **said: Any) -> Dataset:
    """The segmentation above a half, written and read back."""
    made = segmentation(
        source, heat.astype(np.float32), 0.5, algorithm="spectrum", version="0.1.0", **said, **identity()
    )
    assert made is not None
    pydicom.dcmwrite(folder / "seg.dcm", made, enforce_file_format=True)
    return pydicom.dcmread(folder / "seg.dcm")


def test_a_film_is_marked_pixel_by_pixel_without_a_place(tmp_path: Path, identity: Identity) -> None:
    film = made_study.write_film(tmp_path / "film.dcm", PIXELS, PatientOrientation=["L", "F"])
    heat = np.zeros((24, 20))
    heat[3:7, 11] = 1
    heat[20, 2] = 0.5
    source = read_source(str(film))
    read = of(source, heat, identity, tmp_path, description="as promised", tracking_uid="1.2.3")
    np.testing.assert_array_equal(read.pixel_array, heat >= 0.5)
    assert "FrameOfReferenceUID" not in read
    assert list(read.PatientOrientation) == ["L", "F"]
    segment = read.SegmentSequence[0]
    assert segment.SegmentAlgorithmType == "AUTOMATIC"
    assert segment.SegmentAlgorithmName == "spectrum"
    assert segment.SegmentationAlgorithmIdentificationSequence[0].AlgorithmVersion == "0.1.0"
    assert (segment.SegmentDescription, segment.TrackingUID) == ("as promised", "1.2.3")
    stored = pydicom.dcmread(film)
    assert read.SourceImageSequence[0].ReferencedSOPInstanceUID == stored.SOPInstanceUID
    frame = read.PerFrameFunctionalGroupsSequence[0].DerivationImageSequence[0].SourceImageSequence[0]
    assert frame.ReferencedSOPClassUID == stored.SOPClassUID
    assert frame.SpatialLocationsPreserved == "YES"
    assert source.headers[0].SOPInstanceUID == stored.SOPInstanceUID


def test_the_patient_of_the_source_is_that_of_the_result(tmp_path: Path, identity: Identity) -> None:
    film = made_study.write_film(tmp_path / "film.dcm", PIXELS, PatientAge="074Y", StudyDescription="Thorax")
    read = of(read_source(str(film)), PIXELS + 1, identity, tmp_path)
    assert str(read.PatientName) == "Doe^Jürgen"
    said = [
        read[keyword].value for keyword in ("PatientID", "PatientBirthDate", "PatientAge", "StudyDescription")
    ]
    assert said == ["P-4711", "19500102", "074Y", "Thorax"]
    assert read.SpecificCharacterSet == "ISO_IR 192"


def test_frames_of_a_clip_name_the_frame_that_they_mark(tmp_path: Path, identity: Identity) -> None:
    clip = made_study.write_clip(tmp_path / "clip.dcm", np.zeros((5, 24, 20), np.uint8))
    heat = np.zeros((5, 24, 20))
    heat[1, 4:9, 3], heat[4, 23, 19] = 1, 1
    read = of(read_source(str(clip)), heat, identity, tmp_path)
    np.testing.assert_array_equal(read.pixel_array, heat[[1, 4]] > 0)
    named = [
        frame.DerivationImageSequence[0].SourceImageSequence[0].ReferencedFrameNumber
        for frame in read.PerFrameFunctionalGroupsSequence
    ]
    assert named == [2, 5]
    one = of(read_source(f"{clip}#frame/3"), heat[1], identity, tmp_path)
    assert one.SourceImageSequence[0].ReferencedFrameNumber == 4


def test_nothing_at_the_threshold_gives_no_segmentation(tmp_path: Path, identity: Identity) -> None:
    source = read_source(str(made_study.write_film(tmp_path / "film.dcm", PIXELS)))
    heat = PIXELS.astype(np.float32)
    assert segmentation(source, heat, 0.5, algorithm="spectrum", version="1", **identity()) is None


def test_a_channel_of_another_study_is_named_as_such(tmp_path: Path, identity: Identity) -> None:
    one = made_study.write_film(tmp_path / "one.dcm", PIXELS)
    two = made_study.write_film(tmp_path / "two.dcm", PIXELS, StudyInstanceUID="1.2.9")
    read = of(read_source(f"{one}|{two}"), PIXELS + 1, identity, tmp_path)
    assert len(read.SourceImageSequence) == 2
    assert len(read.ReferencedSeriesSequence[0].ReferencedInstanceSequence) == 1
    assert read.StudiesContainingOtherReferencedInstancesSequence[0].StudyInstanceUID == "1.2.9"


def test_a_volume_without_a_frame_of_reference_is_refused(tmp_path: Path, identity: Identity) -> None:
    place = made_study.slices("axial")
    file = made_study.write_enhanced(tmp_path / "e.dcm", place, np.zeros(3), [0, 1], FrameOfReferenceUID=None)
    with pytest.raises(DataError, match="no FrameOfReferenceUID"):
        of(read_source(str(file)), np.ones((2, 24, 20)), identity, tmp_path)

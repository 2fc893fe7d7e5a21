"""A whole map as a DICOM Parametric Map: its values, what they are called, and where it cannot be."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import made_study
import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from secondread.results.dicom.parametric_map import NoParametricMap, parametric_map
from secondread.results.dicom.source import read_source

Identity = Callable[[], dict[str, Any]]
HEAT = np.random.default_rng(5).normal(0, 1e-3, (24, 20)).astype(np.float32)
PIXELS = np.zeros((24, 20), np.uint16)


def of(reference: Path, heat: np.ndarray, identity: Identity, **said: Any) -> Dataset:
    made = parametric_map(read_source(str(reference)), heat, **said, **identity())
    file = reference.with_name("map.dcm")
    pydicom.dcmwrite(file, made, enforce_file_format=True)
    return pydicom.dcmread(file)


def test_values_are_kept_to_the_last_bit_and_have_a_name_and_no_unit(
    tmp_path: Path, identity: Identity
) -> None:
    film = made_study.write_film(
        tmp_path / "film.dcm", PIXELS, PatientOrientation=["L", "F"], BodyPartExamined="CHEST"
    )
    read = of(film, HEAT, identity, scale=(-1.0, 3.0))
    np.testing.assert_array_equal(read.pixel_array, HEAT)
    shared = read.SharedFunctionalGroupsSequence[0]
    mapping = shared.RealWorldValueMappingSequence[0]
    assert (mapping.RealWorldValueSlope, mapping.RealWorldValueIntercept) == (1, 0)
    assert mapping.MeasurementUnitsCodeSequence[0].CodeValue == "1"
    assert "Anomaly score" in mapping.QuantityDefinitionSequence[0].ConceptCodeSequence[0].CodeMeaning
    window = shared.FrameVOILUTSequence[0]
    assert (window.WindowCenter, window.WindowWidth) == (1, 4)
    assert read.BodyPartExamined == "CHEST"


def test_a_film_has_a_frame_of_reference_of_its_own(tmp_path: Path, identity: Identity) -> None:
    film = made_study.write_film(tmp_path / "film.dcm", PIXELS, PatientOrientation=["L", "FP"])
    read = of(film, HEAT, identity)
    shared = read.SharedFunctionalGroupsSequence[0]
    assert shared.PlaneOrientationSequence[0].ImageOrientationPatient == [1, 0, 0, 0, 0, -1]
    assert shared.PixelMeasuresSequence[0].PixelSpacing == [0.2, 0.2]
    assert read.FrameOfReferenceUID != of(film, HEAT, identity).FrameOfReferenceUID
    assert read.SourceImageSequence[0].ReferencedSOPInstanceUID == pydicom.dcmread(film).SOPInstanceUID


def test_what_cannot_state_its_place_says_what_is_missing(tmp_path: Path, identity: Identity) -> None:
    film = made_study.write_film(tmp_path / "film.dcm", PIXELS, ImagerPixelSpacing=None)
    with pytest.raises(NoParametricMap, match="does not say PatientOrientation and a pixel spacing"):
        of(film, HEAT, identity)
    clip = made_study.write_clip(tmp_path / "clip.dcm", np.zeros((2, 24, 20), np.uint8))
    with pytest.raises(NoParametricMap, match="its frames have no place in the patient"):
        of(clip, np.stack([HEAT, HEAT]), identity)


def test_directions_without_a_position_are_those_of_the_header(tmp_path: Path, identity: Identity) -> None:
    film = made_study.write_film(
        tmp_path / "film.dcm",
        PIXELS,
        ImageOrientationPatient=[0, 1, 0, 0, 0, -1],
        FrameOfReferenceUID="1.2.3",
    )
    read = of(film, HEAT, identity)
    shared = read.SharedFunctionalGroupsSequence[0]
    assert shared.PlaneOrientationSequence[0].ImageOrientationPatient == [0, 1, 0, 0, 0, -1]
    assert read.FrameOfReferenceUID != "1.2.3"

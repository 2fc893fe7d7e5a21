"""Results of a film without geometry, a CT series and an ultrasound clip: clean to validators, stored in a
real archive beside their sources, and read back to the same numbers in the same place."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
import pytest
import valid_studies
import validators
from archive import Archive
from pydicom import Dataset
from result_checks import (
    at_positions,
    frames,
    grid,
    kind_of,
    map_of,
    numbers,
    same_identity,
    stored_beside,
    unexplained,
    unexplained_together,
)
from scored_studies import Results

from secondread.bundles.bundle import Bundle

SHAPE = (6, 40, 36)
"""Slices, rows and columns of the series."""
LESION = (4, 11, 25)
"""Its centre; six pixels wide in the plane, and three slices thick."""


@dataclass(frozen=True)
class Case:
    """`sources` are the files that were read."""

    sources: list[Path]
    results: Results

    @property
    def headers(self) -> dict[str, Dataset]:
        read = [pydicom.dcmread(file, stop_before_pixels=True) for file in self.sources]
        return {str(one.SOPInstanceUID): one for one in read}


def noise(shape: tuple[int, ...], low: int, high: int) -> np.ndarray:
    return np.random.default_rng(5).integers(low, high, shape)


@pytest.fixture(scope="module")
def cases(
    flat_bundle: Bundle, solid_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Case]:
    folder = tmp_path_factory.mktemp("cases")
    z, y, x = LESION
    film = noise((44, 36), 100, 300).astype(np.uint16)
    film[8:14, 20:26] = 4000
    volume = noise(SHAPE, -900, -850)
    volume[z - 1 : z + 2, y - 3 : y + 3, x - 3 : x + 3] = 900
    clip = noise((5, 32, 40), 10, 20)
    clip[3, 20:25, 10:15] = 250
    a_film = valid_studies.film(folder / "film.dcm", film)
    a_series = valid_studies.ct_series(folder / "ct", volume)
    a_clip = valid_studies.clip(folder / "clip.dcm", clip)
    shown = [f"{a_clip}#frame/{number}" for number in (1, 3)]
    return {
        "film": Case([a_film], Results.of(flat_bundle, [a_film], folder / "of-film")),
        "series": Case(a_series, Results.of(solid_bundle, [folder / "ct"], folder / "of-series")),
        "clip": Case([a_clip], Results.of(flat_bundle, [*shown], folder / "of-clip")),
    }


@pytest.fixture(params=["film", "series", "clip"])
def case(request: pytest.FixtureRequest, cases: dict[str, Case]) -> Case:
    return cases[request.param]


@pytest.fixture(scope="module", autouse=True)
def installed() -> None:
    if reason := validators.missing():
        pytest.skip(reason)


def test_validators_say_nothing_beyond_the_list_and_the_source(case: Case) -> None:
    assert not case.results.errors
    assert [unexplained(file, []) for file in case.results.files] == [[]] * len(case.results.files)


def test_results_and_sources_are_one_study_of_one_patient(case: Case) -> None:
    source = next(iter(case.headers.values()))
    for result in case.results.made:
        same_identity(result, source)
    assert unexplained_together(case.sources, case.results.files) == []


def test_an_archive_takes_results_beside_their_sources_and_gives_them_back(
    case: Case, archive: Archive
) -> None:
    assert archive.echo() == 0
    assert set(archive.send(case.sources).values()) == {0}
    stored_beside(case.results.files, archive)


def test_the_report_has_the_numbers_of_the_readings(case: Case) -> None:
    (report,) = case.results.of_kind("SR")
    said = list(numbers(report).values())
    assert len(said) >= len(case.results.readings)
    for reading in case.results.readings:
        found = [one for one in said if one.get("score") == reading.score]
        assert found, "the score to the last digit"
        assert found[0]["p-value"] == reading.p_value


def test_a_film_and_a_clip_have_their_maps_pixel_upon_pixel(cases: dict[str, Case]) -> None:
    """Without a place in the patient: by the frame that a result names."""
    for name in ("film", "clip"):
        results = cases[name].results
        threshold = results.readings.run.map_threshold
        assert threshold is not None
        by_frame = {}
        for reading in results.readings:
            assert reading.map is not None
            number = reading.path.rpartition("#frame/")[2] if "#" in reading.path else ""
            by_frame[int(number) + 1 if number else None] = map_of(reading.map)
        (source,) = cases[name].headers
        for kind in ("SEG", "PM"):
            for result in results.of_kind(kind):
                for frame in frames(result):
                    uid, number = frame.source
                    assert uid == source
                    heat = by_frame[number]
                    expected = heat if kind == "PM" else heat >= np.float32(threshold)
                    np.testing.assert_array_equal(frame.values, expected)
        assert results.of_kind("SEG"), name
    assert cases["film"].results.of_kind("PM")


def test_a_series_has_its_map_at_its_place_in_the_patient(cases: dict[str, Case]) -> None:
    case = cases["series"]
    (reading,) = case.results.readings
    threshold = case.results.readings.run.map_threshold
    assert reading.map is not None
    assert threshold is not None
    for kind in ("PM", "SEG"):
        (result,) = case.results.of_kind(kind)
        for frame in frames(result):
            heat = at_positions(reading.map, frame.positions)
            expected = heat if kind == "PM" else heat >= np.float32(threshold)
            np.testing.assert_array_equal(frame.values, expected)
            of = case.headers[frame.source[0]]
            there = grid(of.ImagePositionPatient, of.ImageOrientationPatient, of.PixelSpacing, SHAPE[1:])
            np.testing.assert_allclose(frame.positions, there, atol=1e-3)
    assert len(frames(case.results.of_kind("PM")[0])) == SHAPE[0]


def test_a_drawn_lesion_is_segmented_where_it_was_drawn(cases: dict[str, Case]) -> None:
    case = cases["series"]
    of_slice = sorted(case.headers.values(), key=lambda header: -int(header.InstanceNumber))
    z, y, x = LESION
    of = of_slice[z]
    drawn = grid(of.ImagePositionPatient, of.ImageOrientationPatient, of.PixelSpacing, SHAPE[1:])[y, x]
    (result,) = case.results.of_kind("SEG")
    marked = np.concatenate([frame.positions[frame.values > 0] for frame in frames(result)])
    assert np.linalg.norm(marked.mean(axis=0) - drawn) < 1.5, "millimetres"


def test_every_viewer_shows_the_picture_and_it_names_the_hottest_frame(
    cases: dict[str, Case], archive: Archive
) -> None:
    for case in cases.values():
        archive.send(case.results.files)
        for picture in case.results.of_kind("SC"):
            assert archive.picture_of(str(picture.SOPInstanceUID)).startswith(b"\x89PNG")
    (of_series,) = cases["series"].results.of_kind("SC")
    (named,) = of_series.SourceImageSequence
    number = int(cases["series"].headers[str(named.ReferencedSOPInstanceUID)].InstanceNumber)
    assert abs(SHAPE[0] - number - LESION[0]) <= 1
    assert [kind_of(one) for one in cases["series"].results.made].count("SC") == 1

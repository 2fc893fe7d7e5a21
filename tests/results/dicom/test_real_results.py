"""The same for real studies: every series, an enhanced file, and pictures of five modalities."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pydicom
import pytest
import validators
from archive import Archive
from result_checks import (
    at_positions,
    frames,
    grid,
    height,
    kind_of,
    map_of,
    numbers,
    references,
    same_identity,
    slice_of,
    stored_beside,
    unexplained,
)
from scored_studies import Results

from secondread.bundles.bundle import Bundle
from secondread.cohorts.manifest import Manifest
from secondread.errors import DataError
from secondread.images.read import read_image
from secondread.readings.readings import Readings
from secondread.readings.score_into import score_into
from secondread.results.write_dicom import write_dicom_results
from secondread.results.write_fhir import write_fhir_results

pytestmark = pytest.mark.slow
UNEVEN = "dicom-series/ct_ge_hispeed"
"""Its gantry is tilted and its slices lie unevenly, which the map's own file, NIfTI, cannot say."""
VOLUMES = (
    "dicom-series/Study1_13_HCropVolume",
    "dicom-series/Study3_11-T1post-18670",
    "dicom-series/Study3_36468-FLAIRreg-58706",
    UNEVEN,
    "dicom-zoo/fo-dicom/Tests__FO-DICOM.Tests__Test_Data__mr_brucker.dcm",
)
PICTURES = (
    "dicom-zoo/pydicom-data/data_store__data__RG3_J2KI.dcm",
    "dicom-zoo/wg04/data__WG04__J2KI__CT2_J2KI",
    "dicom-zoo/ge/In__01_Ax_DWI_TENSOR_R2__i22.MRDC.1",
    "dicom-zoo/pydicom/src__pydicom__data__test_files__JPEG2000.dcm",
    "dicom-zoo/pydicom/src__pydicom__data__test_files__examples_ybr_color.dcm#frame/7",
)
"""CR, CT, MR, NM and a frame of an ultrasound clip, from four makers."""


def results_of(bundle: Bundle, data: Path, images: list[str], folder: Path) -> Results:
    folder.mkdir(exist_ok=True)
    with (folder / "images.csv").open("w", newline="") as table:
        csv.writer(table).writerows([["path"], *([str(data / image)] for image in images)])
    score_into(bundle, Manifest.read(folder / "images.csv"), folder / "readings", maps=True, workers=0)
    readings = Readings.read(folder / "readings")
    assert not [row.error for row in readings if row.failed]
    write_dicom_results(readings, folder / "results")
    return Results(readings, folder / "results")


WITHOUT_PLACE = {
    image.rpartition("/")[2] for image in PICTURES if "RG3" in image or "#" in image or "JPEG2000" in image
}
"""Their headers say too little of where they lie for a parametric map."""


@pytest.fixture(scope="module")
def sources(shared_data: Path) -> dict[str, Path]:
    """The files of all of them by their instances' UIDs."""
    if reason := validators.missing():
        pytest.skip(reason)
    names = [*VOLUMES, *(image.partition("#")[0] for image in PICTURES)]
    paths = [shared_data / name for name in names]
    files = [file for path in paths for file in (sorted(path.iterdir()) if path.is_dir() else [path])]
    read = {file: pydicom.dcmread(file, specific_tags=["SOPInstanceUID"]) for file in files}
    return {str(one.SOPInstanceUID): file for file, one in read.items()}


@pytest.fixture(scope="module")
def volumes(
    sources: dict[str, Path],
    shared_data: Path,
    solid_bundle: Bundle,
    tmp_path_factory: pytest.TempPathFactory,
) -> Results:
    return results_of(solid_bundle, shared_data, list(VOLUMES), tmp_path_factory.mktemp("volumes"))


@pytest.fixture(scope="module")
def pictures(
    sources: dict[str, Path], shared_data: Path, flat_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory
) -> Results:
    return results_of(flat_bundle, shared_data, list(PICTURES), tmp_path_factory.mktemp("pictures"))


@pytest.fixture(params=["volumes", "pictures"])
def results(request: pytest.FixtureRequest) -> Results:
    found = request.getfixturevalue(request.param)
    assert isinstance(found, Results)
    return found


def test_every_image_has_its_objects(results: Results) -> None:
    assert not results.errors
    threshold = results.readings.run.map_threshold
    maps = [read_image(str(row.map)).pixels for row in results.readings]
    reached = sum(bool((heat >= threshold).any()) for heat in maps)
    assert len(results.of_kind("SC")) == len(maps) == 5
    assert len(results.of_kind("SEG")) == reached >= 2
    with_place = [row for row in results.readings if row.path.rpartition("/")[2] not in WITHOUT_PLACE]
    assert len(results.of_kind("PM")) == len(with_place)


def test_validators_say_nothing_of_them_beyond_the_list_and_the_sources(
    results: Results, sources: dict[str, Path]
) -> None:
    for file, result in zip(results.files, results.made, strict=True):
        named = {sources[uid].parent: sources[uid] for uid in references(result) if uid in sources}
        assert unexplained(file, named.values()) == [], file.name


def test_a_real_archive_keeps_them_beside_their_sources(
    results: Results, sources: dict[str, Path], archive: Archive
) -> None:
    by_study: dict[str, list[Path]] = {}
    for file, result in zip(results.files, results.made, strict=True):
        by_study.setdefault(str(result.StudyInstanceUID), []).append(file)
        named = next(uid for uid in references(result) if uid in sources)
        same_identity(result, pydicom.dcmread(sources[named], stop_before_pixels=True))
    wanted = {uid for result in results.made for uid in references(result) if uid in sources}
    assert set(archive.send([sources[uid] for uid in sorted(wanted)]).values()) == {0}
    for files in by_study.values():
        stored_beside(files, archive)


def test_the_reports_have_the_numbers_of_the_readings(results: Results) -> None:
    said = [found for report in results.of_kind("SR") for found in numbers(report).values()]
    for reading in results.readings:
        assert any(
            one.get("score") == reading.score and one.get("p-value") == reading.p_value for one in said
        ), reading.path


def test_volumes_have_their_maps_at_their_places(
    volumes: Results, sources: dict[str, Path], shared_data: Path
) -> None:
    threshold = np.float32(volumes.readings.run.map_threshold)
    maps = {row.path: row.map for row in volumes.readings}
    heights: dict[str, list[float]] = {}
    for result in [*volumes.of_kind("PM"), *volumes.of_kind("SEG")]:
        kind, found = kind_of(result), frames(result)
        read = sources[found[0].source[0]].relative_to(shared_data)
        name = str(read) if str(read) in VOLUMES else str(read.parent)
        (map_file,) = [file for path, file in maps.items() if path.endswith(name)]
        assert map_file is not None
        heights.setdefault(name, sorted(height(map_file, frame) for frame in found))
        for frame in found:
            assert frame.positions is not None
            of = pydicom.dcmread(sources[frame.source[0]], stop_before_pixels=True)
            if "ImagePositionPatient" in of:
                place = (of.ImagePositionPatient, of.ImageOrientationPatient, of.PixelSpacing)
                there = grid(*place, frame.values.shape)
                np.testing.assert_allclose(frame.positions, there, atol=1e-3)
            if name != UNEVEN:
                heat = at_positions(map_file, frame.positions)
            else:
                heat = slice_of(map_file, heights[name].index(height(map_file, frame)))
            np.testing.assert_array_equal(frame.values, heat if kind == "PM" else heat >= threshold)


def test_pictures_have_their_maps_pixel_upon_pixel(pictures: Results, sources: dict[str, Path]) -> None:
    threshold = np.float32(pictures.readings.run.map_threshold)
    for kind in ("PM", "SEG"):
        for result in pictures.of_kind(kind):
            (frame,) = frames(result)
            read = str(sources[frame.source[0]])
            (map_file,) = [row.map for row in pictures.readings if row.path.partition("#")[0].endswith(read)]
            assert map_file is not None
            heat = map_of(map_file)
            np.testing.assert_array_equal(frame.values, heat if kind == "PM" else heat >= threshold)


def test_a_nifti_volume_has_fhir_and_is_told_what_dicom_needs(
    shared_data: Path, solid_bundle: Bundle, tmp_path: Path
) -> None:
    volume = shared_data / "nifti" / "MR_Gd.nii.gz"
    score_into(solid_bundle, [volume], tmp_path / "readings", workers=0)
    written = write_fhir_results(tmp_path / "readings", tmp_path / "fhir")
    assert written.studies == 1
    (bundle,) = [file for file in (tmp_path / "fhir").glob("*.json") if file.name != "run.json"]
    assert json.loads(bundle.read_text())["type"] == "collection"
    with pytest.raises(DataError, match="results as DICOM need DICOM files") as told:
        write_dicom_results(tmp_path / "readings", tmp_path / "dicom")
    assert len(str(told.value).splitlines()) == 1

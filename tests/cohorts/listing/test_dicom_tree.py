"""DICOM trees as scanners, archives and careless copies leave them."""

import shutil

import numpy as np
import pydicom
import pytest

from cohorts.dicom_files import write_dicom, write_series
from secondread.cohorts.listing.index import index
from secondread.images.read import read_image
from secondread.preprocessing.cache.cache import fingerprint_of


def indexed(tmp_path, **options):
    return index(tmp_path / "src", manifest_path=tmp_path / "out" / "m.csv", workers=0, **options)


def volume_of(tmp_path, folder="ct"):
    """The only row, and its volume; both tell the same size, spacing and remarks."""
    result = indexed(tmp_path)
    (row,) = result.manifest.rows
    assert row.path.partition("#")[0] == folder
    image = read_image(result.manifest.reference(row))
    assert image.geometry.spacing is not None
    assert row.extra["spacing"] == "x".join(f"{step:.4g}" for step in image.geometry.spacing)
    assert row.extra.get("remarks", "") == "; ".join(image.geometry.remarks)
    return row, image


def changed(path, to, **fields):
    dataset = pydicom.dcmread(path)
    for keyword, value in fields.items():
        setattr(dataset, keyword, value)
    dataset.save_as(to)


def slices(folder, heights, **fields):
    for number, height in enumerate(heights):
        write_dicom(
            folder / f"{number}.dcm", seed=number, **{"ImagePositionPatient": [0, 0, height], **fields}
        )
    return folder


def test_a_series_in_two_folders_is_one_volume(tmp_path):
    folder = slices(tmp_path / "src" / "disc", range(8))
    for number in range(8):
        target = folder / f"S{number % 2}"
        target.mkdir(exist_ok=True)
        (folder / f"{number}.dcm").rename(target / f"{number}.dcm")
    assert volume_of(tmp_path, "disc")[1].size == (8, 8, 6)


def test_a_slice_that_changes_below_a_series_folder_is_noticed_by_the_cache(tmp_path):
    folder = slices(tmp_path / "src" / "disc", range(2))
    (folder / "S1").mkdir()
    write_dicom(folder / "S1" / "2.dcm", ImagePositionPatient=[0, 0, 2])
    before = fingerprint_of(str(folder))
    write_dicom(folder / "S1" / "2.dcm", seed=5, ImagePositionPatient=[0, 0, 2])
    assert fingerprint_of(str(folder)) not in (None, before)


def test_a_series_copied_to_another_folder_is_two_rows(tmp_path):
    slices(tmp_path / "src" / "a", range(4))
    shutil.copytree(tmp_path / "src" / "a", tmp_path / "src" / "b")
    paths = [row.path.partition("#")[0] for row in indexed(tmp_path).manifest.rows]
    assert paths == ["a", "b"]


def test_slices_without_a_series_uid_are_one_volume(tmp_path):
    slices(tmp_path / "src" / "ct", range(5), SeriesInstanceUID=None)
    assert volume_of(tmp_path)[1].size[0] == 5


def test_pictures_without_series_uid_and_place_stay_pictures(tmp_path):
    slices(tmp_path / "src" / "ct", range(3), SeriesInstanceUID=None, ImageOrientationPatient=None)
    assert [row.path for row in indexed(tmp_path).manifest.rows] == [f"ct/{i}.dcm" for i in range(3)]


@pytest.mark.parametrize("modality", ["ct", "Ct ", "PET", None])
def test_a_modality_in_other_letters_is_that_modality(tmp_path, modality):
    slices(tmp_path / "src" / "ct", range(4), Modality=modality)
    row, _ = volume_of(tmp_path)
    assert row.extra["modality"] == ("PT" if modality == "PET" else "CT")


@pytest.mark.parametrize("uid", [None, "1.2.99"])
def test_a_slice_twice_counts_once_and_is_said(tmp_path, uid):
    folder = slices(tmp_path / "src" / "ct", range(4))
    if uid is None:
        shutil.copy(folder / "2.dcm", folder / "2 (1).dcm")
    else:
        changed(folder / "2.dcm", folder / "sent-again.dcm", SOPInstanceUID=uid)
    row, image = volume_of(tmp_path)
    assert image.size[0] == 4
    assert row.extra["remarks"] == "copies dropped: 1 slice with the pixels and the place of another"


def test_other_pixels_at_one_place_are_no_copy(tmp_path):
    folder = slices(tmp_path / "src" / "ct", range(4))
    write_dicom(folder / "again.dcm", seed=9, ImagePositionPatient=[0, 0, 2])
    write_dicom(tmp_path / "src" / "cr.dcm", Modality="CR")
    result = indexed(tmp_path)
    assert [row.path for row in result.manifest.rows] == ["cr.dcm"]
    assert "several at one position" in result.set_aside[0].reason


@pytest.mark.parametrize(
    "other", [{"PatientID": "B"}, {"PatientName": "Roe^R"}, {"StudyInstanceUID": "1.9"}], ids=str
)
def test_two_patients_under_one_series_uid_are_set_apart(tmp_path, other):
    folder = slices(tmp_path / "src" / "ct", range(4))
    changed(folder / "3.dcm", folder / "3.dcm", **other)
    write_dicom(tmp_path / "src" / "cr.dcm", Modality="CR")
    result = indexed(tmp_path)
    assert [row.path for row in result.manifest.rows] == ["cr.dcm"]
    assert next(iter(other)) in result.set_aside[0].reason


def test_two_patients_in_two_folders_under_one_series_uid_are_two_volumes(tmp_path):
    slices(tmp_path / "src" / "a", range(4))
    slices(tmp_path / "src" / "b", [0.5, 1.5, 2.5], PatientID="B", PatientName="Roe^R")
    rows = indexed(tmp_path).manifest.rows
    assert [row.path.partition("#")[0] for row in rows] == ["a", "b"]
    assert rows[0].patient_id != rows[1].patient_id


def test_spacings_that_differ_by_rounding_are_one_volume(tmp_path):
    folder = slices(tmp_path / "src" / "ct", range(4), PixelSpacing=[0.488281, 0.488281])
    changed(folder / "2.dcm", folder / "2.dcm", PixelSpacing=[0.48828125, 0.48828125])
    volume_of(tmp_path)


def test_slices_missing_inside_are_said_in_the_manifest(tmp_path):
    slices(tmp_path / "src" / "ct", [0, 5, 10, 25, 30])
    row, _ = volume_of(tmp_path)
    assert row.extra["remarks"].startswith("slices missing inside: 2 slices")


@pytest.mark.parametrize("keep", [0, 160, 400, 600])
def test_a_lost_slice_inside_sets_the_series_apart_as_unreadable(tmp_path, keep):
    folder = slices(tmp_path / "src" / "ct", range(5))
    (folder / "2.dcm").write_bytes((folder / "2.dcm").read_bytes()[:keep])
    write_dicom(tmp_path / "src" / "cr.dcm", Modality="CR")
    result = indexed(tmp_path)
    assert [row.path for row in result.manifest.rows] == ["cr.dcm"]
    (series,) = [item for item in result.set_aside if "#" in item.path]
    assert series.unreadable
    assert "slices missing inside: 1" in series.reason


def test_a_lost_slice_at_an_end_is_said_in_the_manifest(tmp_path):
    folder = slices(tmp_path / "src" / "ct", range(5))
    (folder / "4.dcm").write_bytes(b"")
    row, image = volume_of(tmp_path)
    assert image.size[0] == 4
    assert "unreadable files beside the slices (4.dcm" in row.extra["remarks"]


@pytest.mark.parametrize(
    ("direction", "spacing"),
    [
        ([1, 0, 0, 0, 1, 0], "3x0.5x0.7"),
        ([1, 0, 0, 0, 0, -1], "0.5x3x0.7"),
        ([0, 1, 0, 0, 0, -1], "0.5x0.7x3"),
    ],
    ids=["axial", "coronal", "sagittal"],
)
def test_spacing_is_told_as_the_volume_is_read(tmp_path, direction, spacing):
    normal = np.cross(direction[:3], direction[3:])
    for number in range(4):
        write_dicom(
            tmp_path / "src" / "ct" / f"{number}.dcm",
            seed=number,
            ImageOrientationPatient=direction,
            ImagePositionPatient=list(normal * 3 * number),
            PixelSpacing=[0.5, 0.7],
        )
    row, _ = volume_of(tmp_path)
    assert row.extra["spacing"] == spacing


def test_frames_that_make_no_volume_are_set_apart_and_stay_images_when_asked(tmp_path):
    def group(**elements):
        item = pydicom.Dataset()
        for keyword, element in elements.items():
            setattr(item, keyword, element)
        return pydicom.Sequence([item])

    frames = []
    for height, direction in ((0, [1, 0, 0, 0, 1, 0]), (5, [0, 1, 0, 0, 0, -1])):
        frames.append(pydicom.Dataset())
        frames[-1].PlanePositionSequence = group(ImagePositionPatient=[0, 0, height])
        frames[-1].PlaneOrientationSequence = group(ImageOrientationPatient=direction)
    write_dicom(
        tmp_path / "src" / "mf.dcm", frames=2, PerFrameFunctionalGroupsSequence=pydicom.Sequence(frames)
    )
    write_series(tmp_path / "src" / "ct", SeriesInstanceUID="7")
    result = indexed(tmp_path)
    assert [row.path.partition("#")[0] for row in result.manifest.rows] == ["ct"]
    assert "different orientations" in result.set_aside[0].reason
    paths = [row.path for row in indexed(tmp_path, as_images=True).manifest.rows]
    assert {"mf.dcm#frame/0", "mf.dcm#frame/1"} <= set(paths)


def test_no_name_reaches_the_manifest_by_another_field(tmp_path):
    slices(tmp_path / "src" / "ct", range(3), Manufacturer="Quill Peregrine", BodyPartExamined="MRN-4711")
    text = indexed(tmp_path).manifest.write(tmp_path / "out" / "m.csv").read_text()
    assert not any(word in text for word in ("Quill", "4711", "Peregrine"))

import os
from dataclasses import replace

import nibabel
import numpy as np
import pytest
from PIL import Image

from cohorts.dicom_files import write_dicom, write_series
from secondread.cohorts.cohorts import patients_in_several_splits
from secondread.cohorts.listing.index import index
from secondread.cohorts.manifest import Manifest
from secondread.cohorts.split import split
from secondread.errors import DataError, UserError
from secondread.images.read import read_image


def write_picture(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8)).save(path)


def indexed(tmp_path, **options):
    return index(tmp_path / "src", manifest_path=tmp_path / "out" / "m.csv", workers=0, **options)


def test_folders_fill_columns_and_masks_join_their_images(tmp_path):
    for path in (
        "train/normal/2.png",
        "train/normal/10.png",
        "test/abnormal/a.png",
        "masks/abnormal/a_mask.png",
    ):
        write_picture(tmp_path / "src" / path)
    (tmp_path / "src" / "notes.txt").write_text("not an image, and not meant as one")
    result = indexed(tmp_path)
    assert [(r.path, r.split, r.label, r.mask) for r in result.manifest.rows] == [
        ("test/abnormal/a.png", "test", "abnormal", "masks/abnormal/a_mask.png"),
        ("train/normal/2.png", "train", "normal", ""),
        ("train/normal/10.png", "train", "normal", ""),
    ]
    assert result.set_aside == []
    assert result.key_path is None
    assert any("no patient id" in warning for warning in result.warnings)


def test_what_is_no_image_is_set_aside_with_its_reason(tmp_path):
    write_picture(tmp_path / "src" / "a.png")
    (tmp_path / "src" / "b.png").write_text("a text file")
    (tmp_path / "src" / "c.dcm").write_bytes(b"")
    np.savez(tmp_path / "src" / "d.npz", table=np.zeros(3))
    write_picture(tmp_path / "src" / "masks" / "nobody.png")
    result = indexed(tmp_path)
    assert len(result.manifest.rows) == 1
    assert {item.path for item in result.set_aside} == {"b.png", "c.dcm", "d.npz", "masks/nobody.png"}
    assert all(item.reason and "\n" not in str(item) for item in result.set_aside)


def test_odd_file_names_do_no_harm(tmp_path):
    for name in (" a.png", "b#1.png", "c, d.png"):
        write_picture(tmp_path / "src" / "x#y" / name)
    (tmp_path / "src" / os.fsdecode(b"caf\xe9.png")).write_bytes(b"")
    result = indexed(tmp_path)
    manifest = Manifest.read(result.manifest.write(tmp_path / "out" / "m.csv"))
    assert [read_image(manifest.reference(row)).size for row in manifest.rows] == [(8, 8)] * 3
    assert ["UTF-8" in item.reason for item in result.set_aside] == [True]


def test_nothing_to_index_is_said(tmp_path):
    with pytest.raises(UserError, match="no such file"):
        indexed(tmp_path)
    (tmp_path / "src").mkdir()
    with pytest.raises(UserError, match="no image"):
        indexed(tmp_path)
    (tmp_path / "src" / "a.png").write_text("text")
    with pytest.raises(DataError, match="none of 1 files"):
        indexed(tmp_path)


def test_slices_of_a_series_form_a_volume_that_reads(tmp_path):
    write_series(tmp_path / "src" / "normal" / "ct", BodyPartExamined="HEAD")
    result = indexed(tmp_path)
    (row,) = result.manifest.rows
    assert row.path.startswith("normal/ct#")
    assert row.label == "normal"
    assert row.extra == {
        "modality": "CT",
        "body_part": "HEAD",
        "manufacturer": "ACME",
        "spacing": "3x0.5x0.5",
    }
    manifest = Manifest.read(result.manifest.write(tmp_path / "out" / "m.csv"))
    assert read_image(manifest.reference(manifest.rows[0])).size == (4, 8, 6)


def test_slices_stay_images_when_asked(tmp_path):
    write_series(tmp_path / "src" / "ct")
    assert [r.path for r in indexed(tmp_path, as_images=True).manifest.rows] == [
        f"ct/{i}.dcm" for i in range(4)
    ]


@pytest.mark.parametrize(
    ("odd", "reason"),
    [
        ({"ImageOrientationPatient": [0, 1, 0, 0, 0, 1]}, "orientations"),
        ({"Rows": 10}, "image sizes"),
        ({"PixelSpacing": [0.6, 0.6]}, "pixel spacings"),
        ({"ImagePositionPatient": [0, 0, 3.0], "seed": 1}, "one position"),
        ({"ImagePositionPatient": None}, "no positions"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}, "mixed series: 1 more"),
    ],
)
def test_mixed_series_are_set_apart_and_listed(tmp_path, odd, reason):
    write_series(tmp_path / "src" / "ct")
    write_dicom(tmp_path / "src" / "ct" / "odd.dcm", **{"ImagePositionPatient": [0, 0, 99], **odd})
    write_picture(tmp_path / "src" / "other.png")
    result = indexed(tmp_path)
    assert [row.path for row in result.manifest.rows] == ["other.png"]
    assert any(reason in item.reason and item.path.startswith("ct") for item in result.set_aside)


def test_localisers_and_derived_series_are_set_apart_unless_kept(tmp_path):
    write_series(tmp_path / "src" / "ct")
    write_dicom(
        tmp_path / "src" / "scout" / "0.dcm",
        SeriesInstanceUID="9",
        ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"],
    )
    write_series(tmp_path / "src" / "mpr", SeriesInstanceUID="8", ImageType=["DERIVED", "SECONDARY", "MPR"])
    result = indexed(tmp_path)
    assert [row.path.partition("#")[0] for row in result.manifest.rows] == ["ct"]
    assert sorted((item.reason, item.files) for item in result.set_aside) == [
        ("derived image", 4),
        ("localiser", 1),
    ]
    assert len(indexed(tmp_path, keep_derived=True).manifest.rows) == 2


def test_films_are_images_and_a_clip_is_one_image_per_frame(tmp_path):
    write_dicom(tmp_path / "src" / "cr.dcm", Modality="CR", ViewPosition="PA", ImageLaterality="L",
                ImageType=["DERIVED", "PRIMARY"])  # fmt: skip
    write_dicom(tmp_path / "src" / "us.dcm", Modality="US", frames=3, ImagePositionPatient=None)
    write_dicom(tmp_path / "src" / "sr.dcm", Modality="SR")
    result = indexed(tmp_path)
    assert [r.path for r in result.manifest.rows] == ["cr.dcm", *(f"us.dcm#frame/{i}" for i in range(3))]
    assert result.manifest.rows[0].extra["view"] == "PA"
    assert result.manifest.rows[0].extra["laterality"] == "L"
    assert [item.path for item in result.set_aside] == ["sr.dcm"]
    assert all(read_image(result.manifest.reference(row)).rank == 2 for row in result.manifest.rows)


def test_the_volumes_of_one_file_are_one_patients_unless_told_otherwise(tmp_path):
    rng = np.random.default_rng(0)
    (tmp_path / "src").mkdir()
    for name in "abc":
        voxels = rng.integers(0, 99, (5, 4, 3, 12)).astype(np.int16)
        nibabel.save(nibabel.Nifti1Image(voxels, np.eye(4)), tmp_path / "src" / f"{name}.nii")
    found = indexed(tmp_path).manifest
    assert len(found.rows) == 36
    parted = split(found, seed=0, test=0.3)
    parts = {row.path.partition("#")[0]: row.split for row in parted.rows}
    assert {(row.path.partition("#")[0], row.split) for row in parted.rows} == set(parts.items())
    assert set(parts.values()) == {"train", "test"}
    torn = [replace(row, split="test" if row.path.endswith("/3") else "train") for row in found.rows]
    assert patients_in_several_splits(torn) == ["a.nii", "b.nii", "c.nii"]
    own = [replace(row, patient_id=row.path) for row in torn]
    assert patients_in_several_splits(own) == []


def test_ids_are_hashed_alike_each_time_and_appear_nowhere(tmp_path):
    write_series(tmp_path / "src" / "ct")
    first, second = indexed(tmp_path), indexed(tmp_path)
    assert first.manifest.rows == second.manifest.rows
    assert first.key_path == tmp_path / "out" / "m.csv.key"
    text = first.manifest.write(tmp_path / "out" / "m.csv").read_text()
    assert "4711" not in text
    assert "Quill" not in text
    assert "1.2.3" not in text
    (row,) = indexed(tmp_path, keep_ids=True).manifest.rows
    assert (row.patient_id, row.study_id) == ("MRN-4711", "1.2.3")


def test_without_a_place_for_the_key_ids_are_not_hashed_in_secret(tmp_path):
    write_series(tmp_path / "src" / "ct")
    with pytest.raises(UserError, match="give a key"):
        index(tmp_path / "src", workers=0)


@pytest.mark.parametrize("folder", ["quill_2020", "mrn-4711"])
def test_paths_that_give_the_patient_away_are_warned_of(tmp_path, folder):
    write_series(tmp_path / "src" / folder)
    assert any("name or id" in warning for warning in indexed(tmp_path).warnings)


def test_burned_in_text_is_warned_of_unless_it_is_ruled_out(tmp_path):
    write_series(tmp_path / "src" / "ct")
    assert [warning for warning in indexed(tmp_path).warnings if "burned" in warning] == []
    write_dicom(tmp_path / "src" / "us.dcm", Modality="US", BurnedInAnnotation="YES")
    write_dicom(tmp_path / "src" / "sc.dcm", Modality="OT", BurnedInAnnotation=None)
    warnings = indexed(tmp_path).warnings
    assert any("1 DICOM files say that text is burned into" in warning for warning in warnings)
    assert any("1 DICOM files do not say" in warning for warning in warnings)


def test_filters_apply(tmp_path):
    write_series(tmp_path / "src" / "ct")
    write_dicom(tmp_path / "src" / "cr.dcm", Modality="CR")
    assert [row.path for row in indexed(tmp_path, where=["modality=CR"]).manifest.rows] == ["cr.dcm"]


def test_archives_become_rows_with_their_split_and_labels(tmp_path, shared_data):
    result = index(shared_data / "medmnist", workers=0, where=["split=test", "label=normal"])
    assert len(result.manifest.rows) == 234
    assert read_image(result.manifest.reference(result.manifest.rows[5])).size == (28, 28)


@pytest.mark.slow
def test_real_series_become_volumes(tmp_path, shared_data):
    result = index(
        shared_data / "dicom-series", manifest_path=tmp_path / "m.csv", keep_derived=True, workers=2
    )
    sizes = [read_image(result.manifest.reference(row)).size for row in result.manifest.rows]
    assert sorted(size[0] for size in sizes) == [22, 22, 28, 32]
    assert result.set_aside == []


@pytest.mark.slow
def test_a_zoo_of_real_files_is_indexed_without_a_crash(tmp_path, shared_data):
    result = index(shared_data / "dicom-zoo", manifest_path=tmp_path / "m.csv", workers=2)
    assert len(result.manifest.rows) > 200
    assert all(item.reason for item in result.set_aside)

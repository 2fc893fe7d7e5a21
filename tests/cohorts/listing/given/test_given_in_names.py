"""What names say when a person explains them: patients, masks, and the parts of volumes."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pytest
from PIL import Image

from secondread.cohorts.listing.index import index
from secondread.errors import UserError
from secondread.images.read import read_image


def pictures(folder: Path, *names: str) -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (8, 8), 9).save(path)
    return folder


def test_patients_are_taken_out_of_paths_and_what_does_not_fit_is_said(tmp_path: Path) -> None:
    folder = pictures(tmp_path, "NORMAL-12-0001.png", "NORMAL-12-0002.png", "DRUSEN-9-0001.png", "x.png")
    found = index(folder, patient=r"-(\d+)-", workers=0)
    assert [row.patient_id for row in found.manifest] == ["9", "12", "12", ""]
    assert "2 patients by --patient in 4 images" in found.warnings
    assert r"--patient -(\d+)- does not fit 1 path: x.png" in found.warnings
    named = index(folder, patient=r"(\w+)-(?P<patient>\d+)", workers=0)
    assert [row.patient_id for row in named.manifest] == ["9", "12", "12", ""]


@pytest.mark.parametrize(
    ("regex", "told"),
    [
        ("(", r"no regular expression \(missing \), unterminated subpattern at character 1\)"),
        ("q(.)", "fits none of"),
    ],
)
def test_an_expression_that_is_none_or_fits_nothing_is_one_line(
    tmp_path: Path, regex: str, told: str
) -> None:
    with pytest.raises(UserError, match=told):
        index(pictures(tmp_path, "a.png"), patient=regex, workers=0)


def test_several_patterns_and_several_masks_of_an_image(tmp_path: Path) -> None:
    folder = pictures(
        tmp_path,
        "b/l (1).png",
        "b/l (1)_mask.png",
        "b/l (1)_mask_1.png",
        "b/l (10).png",
        "img/c.png",
        "gt/c.png",
    )
    found = index(folder, masks=["{stem}_mask*.png", "{folder}/../gt/{name}"], workers=0)
    assert {row.path: row.mask for row in found.manifest} == {
        "b/l (1).png": "b/l (1)_mask.png|b/l (1)_mask_1.png",
        "b/l (10).png": "",
        "img/c.png": "gt/c.png",
    }
    assert "2 images of 3 with a mask by --mask" in found.warnings
    assert "1 image with several masks, which count as one: b/l (1).png" in found.warnings
    first = Image.new("L", (8, 8))
    first.putpixel((1, 1), 1)
    first.save(folder / "b/l (1)_mask.png")
    reference = found.manifest.mask_reference(found.manifest.rows[0])
    assert (read_image(reference).pixels != 0).any(axis=0).all()
    moved = found.manifest.write(tmp_path / "deep" / "m.csv") if (tmp_path / "deep").mkdir() is None else None
    assert "../b/l (1)_mask.png|../b/l (1)_mask_1.png" in moved.read_text()


@pytest.mark.parametrize(
    ("pattern", "told"),
    [
        ("{stem}_gt.png", r"fits no file of .*; for a.png it would be a_gt.png"),
        ("{stm}.png", r"\{stm\} is unknown; fields are \{stem\}, \{name\}"),
        ("mask.png", "names one file for all images"),
    ],
)
def test_a_pattern_that_cannot_be_meant_is_refused(tmp_path: Path, pattern: str, told: str) -> None:
    with pytest.raises(UserError, match=told):
        index(pictures(tmp_path, "a.png"), masks=[pattern], workers=0)


def test_masks_in_a_folder_without_images_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no image in this folder"):
        index(tmp_path, masks=["{stem}_mask.png"], workers=0)


@pytest.fixture
def brats(tmp_path: Path) -> Path:
    brain = np.zeros((6, 7, 5), np.int16)
    brain[1:5, 1:6, 1:4] = 100
    lesion = np.zeros(brain.shape, np.uint8)
    lesion[2, 3, 2] = 4
    for patient in ("BraTS_001", "BraTS_002"):
        folder = tmp_path / "brats" / patient
        folder.mkdir(parents=True)
        for part, voxels in (("t1", brain), ("t1ce", brain), ("flair", brain), ("seg", lesion)):
            nibabel.save(nibabel.Nifti1Image(voxels, np.eye(4)), folder / f"{patient}_{part}.nii.gz")
    (tmp_path / "brats" / "BraTS_002" / "BraTS_002_flair.nii.gz").unlink()
    return tmp_path / "brats"


def test_parts_of_volumes_as_in_brats(brats: Path) -> None:
    manifest = brats.parent / "m.csv"
    found = index(
        brats, volume_parts="image=flair+t1,mask=seg,brain=nonzero", manifest_path=manifest,
        patient="BraTS_[0-9]+", workers=0,
    )  # fmt: skip
    [row] = found.manifest.rows
    flair, t1, brain = row.path.split("|")
    assert (flair, t1) == ("BraTS_001/BraTS_001_flair.nii.gz", "BraTS_001/BraTS_001_t1.nii.gz")
    assert (row.mask, row.patient_id) == ("BraTS_001/BraTS_001_seg.nii.gz", "BraTS_001")
    image = read_image(found.manifest.reference(row))
    assert image.pixels.shape == (3, 5, 7, 6)
    np.testing.assert_array_equal(image.pixels[2] != 0, image.pixels[0] != 0)
    assert brain.startswith("../m.masks/")
    assert sorted(str(aside) for aside in found.set_aside) == [
        "BraTS_002/BraTS_002_seg.nii.gz: its image lacks flair",
        "BraTS_002/BraTS_002_t1.nii.gz: its image lacks flair",
    ]
    assert "2 files of other parts left out: BraTS_001/BraTS_001_t1ce.nii.gz, " in " ".join(found.warnings)


@pytest.mark.parametrize("text", ["flair", "mask=seg", "image=t1,image=t2", "image=t1,mask=t1", "image="])
def test_parts_that_say_no_image_are_refused(brats: Path, text: str) -> None:
    with pytest.raises(UserError, match="--volume-parts"):
        index(brats, volume_parts=text, workers=0)


def test_volumes_as_slices_with_labels_from_their_masks(brats: Path) -> None:
    found = index(
        brats, volume_parts="image=t1,mask=seg", as_images=True, slices="1-3",
        workers=0,
    )  # fmt: skip
    rows = found.manifest.where("path!=nothing").rows[:3]
    t1 = "BraTS_001/BraTS_001_t1.nii.gz"
    assert [(row.path, row.label, bool(row.mask), row.study_id) for row in rows] == [
        (f"{t1}#slice/axial/{number}", "abnormal" if number == 2 else "normal", number == 2, t1)
        for number in (1, 2, 3)
    ]
    assert "2 volumes as 6 axial slices; each volume is a study" in found.warnings
    assert "4 slices in which the volume's mask marks nothing became normal" in found.warnings
    halves = index(brats, as_images=True, plane="coronal", slices="50%-100%", every=2, workers=0)
    assert [row.extra["slice"] for row in halves.manifest.rows][:2] == ["4", "6"]
    for text in ("3", "5-2", "10%-120%", "1-50%"):
        with pytest.raises(UserError, match="--slices"):
            index(brats, as_images=True, slices=text, workers=0)

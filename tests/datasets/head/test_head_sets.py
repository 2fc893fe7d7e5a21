import json

import nibabel
import numpy as np
import pytest

from secondread.errors import UserError

KAGGLE = (
    "Training/notumor/Tr-no_0010.jpg",
    "Training/glioma/Tr-gl_0010.jpg",
    "Testing/notumor/Te-no_0010.jpg",
    "Testing/meningioma/Te-me_0010.jpg",
    "Testing/pituitary/Te-pi_0010.jpg",
)
SLICES = (
    "BraTS2021/train/BraTS2021_00003_flair_60.png",
    "BraTS2021/test/normal/BraTS2021_00007_flair_10.png",
    "BraTS2021/test/tumor/BraTS2021_00007_flair_60.png",
    "BraTS2021/test/annotation/BraTS2021_00007_seg_60.png",
)
CASE = tuple(f"BraTS2021_00002/BraTS2021_00002_{name}.nii.gz" for name in ("flair", "t1ce", "seg"))


def test_brain_tumours_have_their_kind_as_finding(lay_out, converted, columns):
    found = converted("brain-tumor", lay_out(*KAGGLE))
    assert columns(found, "split", "label", "finding") == {
        "Testing/meningioma/Te-me_0010.jpg": ("test", "abnormal", "meningioma"),
        "Testing/notumor/Te-no_0010.jpg": ("test", "normal", ""),
        "Testing/pituitary/Te-pi_0010.jpg": ("test", "abnormal", "pituitary tumour"),
        "Training/glioma/Tr-gl_0010.jpg": ("train", "abnormal", "glioma"),
        "Training/notumor/Tr-no_0010.jpg": ("train", "normal", ""),
    }
    assert "another source" in found.guessed[0]


def test_brain_tumours_without_the_normals_of_the_test_are_refused(lay_out, converted):
    with pytest.raises(UserError, match="set: testing/notumor is missing"):
        converted("brain-tumor", lay_out(*KAGGLE[:2], *KAGGLE[3:]))


def test_a_repartition_places_the_images_of_kaggle_and_keeps_their_findings(lay_out, converted, columns):
    lists = {
        "train": {"0": ["Te-no_0010.jpg"], "unlabeled": {"1": ["Tr-gl_0010.jpg"]}},
        "test": {"0": ["Tr-no_0010.jpg"], "1": ["Te-pi_0010.jpg", "Te-gl_9999.jpg"]},
    }
    folder = lay_out(*KAGGLE, texts={"repartition.json": json.dumps(lists)})
    found = converted("brain-tumor", folder, split_file=folder / "repartition.json")
    assert columns(found, "split", "label", "finding", "pool") == {
        "Testing/notumor/Te-no_0010.jpg": ("train", "normal", "", ""),
        "Testing/pituitary/Te-pi_0010.jpg": ("test", "abnormal", "pituitary tumour", ""),
        "Training/glioma/Tr-gl_0010.jpg": ("train", "abnormal", "glioma", "unlabelled"),
        "Training/notumor/Tr-no_0010.jpg": ("test", "normal", "", ""),
    }
    assert found.missing == ("Te-gl_9999.jpg",)


def test_a_repartition_that_contradicts_the_folders_counts_and_is_told(lay_out, converted, columns):
    lists = {"train": {"0": ["Tr-no_0010.jpg"]}, "test": {"0": ["Te-me_0010.jpg"], "1": ["Te-pi_0010.jpg"]}}
    folder = lay_out(*KAGGLE, texts={"data.json": json.dumps(lists)})
    found = converted("brain-tumor", folder, split_file=folder / "data.json")
    assert columns(found, "label", "finding")["Testing/meningioma/Te-me_0010.jpg"] == ("normal", "")
    assert any("another label in data.json" in note for note in found.notes)


def test_medianomalys_slices_of_brats_have_masks_and_cases(lay_out, converted, columns):
    found = converted("brats2021", lay_out(*SLICES))
    assert columns(found, "split", "label", "patient_id", "mask") == {
        "test/normal/BraTS2021_00007_flair_10.png": ("test", "normal", "00007", ""),
        "test/tumor/BraTS2021_00007_flair_60.png": (
            *("test", "abnormal", "00007", "test/annotation/BraTS2021_00007_seg_60.png"),
        ),
        "train/BraTS2021_00003_flair_60.png": ("train", "normal", "00003", ""),
    }


def test_slices_of_brats_without_their_mask_are_refused(lay_out, converted):
    with pytest.raises(UserError, match=r"1 slice in test/tumor without a mask in test/annotation"):
        converted("brats2021", lay_out(*SLICES, "BraTS2021/test/tumor/BraTS2021_00008_flair_60.png"))


def test_cases_of_brats_are_volumes_of_the_modalities_that_are_asked_for(lay_out, converted, columns):
    folder = lay_out(*CASE)
    assert columns(converted("brats2021", folder), "label", "patient_id", "mask") == {
        CASE[0]: ("abnormal", "BraTS2021_00002", CASE[2])
    }
    assert list(columns(converted("brats2021", folder, modality="t1ce,flair"))) == [f"{CASE[1]}|{CASE[0]}"]
    with pytest.raises(UserError, match="no t2 volume"):
        converted("brats2021", folder, modality="t2")


def test_cases_of_brats_in_slices_have_normals(lay_out, converted, columns):
    folder = lay_out(*CASE)
    outlined = np.zeros((4, 4, 4), np.uint8)
    outlined[..., 2] = 4
    nibabel.save(nibabel.Nifti1Image(outlined, np.diag([2.0, 2, 2, 1])), folder / CASE[2])
    found = converted("brats2021", folder, slices="1-2")
    assert columns(found, "label", "finding", "patient_id", "slice") == {
        f"{CASE[0]}#slice/axial/1": ("normal", "", "BraTS2021_00002", "1"),
        f"{CASE[0]}#slice/axial/2": ("abnormal", "glioma", "BraTS2021_00002", "2"),
    }
    with pytest.raises(UserError, match="--slices 2-1: give the first and the last"):
        converted("brats2021", folder, slices="2-1")


def test_brats_in_bmads_folders_is_recognised(lay_out, converted):
    folder = lay_out(
        "train/good/img/00003_60.png",
        "test/good/img/00000_96.png",
        "test/Ungood/img/00002_60.png",
        "test/Ungood/label/00002_60.png",
    )
    counts = converted("brats2021", folder).manifest.counts()
    assert counts == {"test": {"abnormal": 1, "normal": 1}, "train": {"normal": 1}}

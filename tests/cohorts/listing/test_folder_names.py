from collections.abc import Sequence

import pytest

from secondread.cohorts.columns import LABELS, SPLITS
from secondread.cohorts.listing.folder_names import (
    FolderColumns,
    Folders,
    UnclearFolders,
    match_masks,
    part_masks,
)


def columns_from_folders(paths: Sequence[str]) -> list[FolderColumns]:
    folders = Folders(paths)
    return [folders.say(path) for path in paths]


def parted(pictures: Sequence[str]) -> tuple[list[str], dict[str, str], list[str]]:
    found = part_masks(pictures)
    return found.images, dict(found.of), [*found.lone, *found.lone_again, *found.lone_in_folders]


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        (["train/normal/a.png"], [("train", "normal", "")]),
        (["test/abnormal/a.png"], [("test", "abnormal", "")]),
        (["normal/a.png"], [("", "normal", "")]),
        (["val/NORMAL/a.png", "val/PNEUMONIA/b.png"],
         [("validation", "normal", ""), ("validation", "abnormal", "pneumonia")]),
        (["train/good/1.png", "test/good/2.png", "test/bent_wire/3.png"],
         [("train", "normal", ""), ("test", "normal", ""), ("test", "abnormal", "bent wire")]),
        (["No_Finding/a.png", "unlabelled/b.png"], [("", "normal", ""), ("", "", "")]),
        (["test_normal/a.png"], [("test", "normal", "")]),
        (["site3/2019/a.png"], [("", "", "")]),
        (["normal/patient1/series2/a.png"], [("", "normal", "")]),
        (["a.png"], [("", "", "")]),
    ],
)  # fmt: skip
def test_folders_fill_split_label_and_finding(paths, expected):
    assert [(c.split, c.label, c.finding) for c in columns_from_folders(paths)] == expected


def test_a_folder_is_a_finding_only_beside_normals():
    (lonely,) = columns_from_folders(["PNEUMONIA/a.png"])
    assert (lonely.label, lonely.finding) == ("", "")


@pytest.mark.parametrize(
    ("name", "label", "finding"),
    [
        ("healthy_controls", "normal", ""),
        ("NORMAL (2)", "normal", ""),
        ("normal copy", "normal", ""),
        ("Normal-CXR", "normal", ""),
        ("NormalCases", "normal", ""),
        ("negative control", "normal", ""),
        ("no_finding", "normal", ""),
        ("NoFindings", "normal", ""),
        ("no abnormality", "normal", ""),
        ("disease-free", "normal", ""),
        ("not abnormal", "normal", ""),
        ("nondiseased", "normal", ""),
        ("unremarkable", "normal", ""),
        ("study1_negative", "normal", ""),
        ("non-normal", "abnormal", ""),
        ("not normal", "abnormal", ""),
        ("NonNormal", "abnormal", ""),
        ("unhealthy", "abnormal", ""),
        ("study1_positive", "abnormal", ""),
        ("covid-positive", "abnormal", "covid"),
        ("pneumonia", "abnormal", "pneumonia"),
        ("PNEUMONIA (2)", "abnormal", "pneumonia"),
        ("grade 3 tumour", "abnormal", "grade 3 tumour"),
        ("benign", "abnormal", "benign"),
        ("unlabelled", "", ""),
    ],
)
def test_names_beside_normals_are_read_with_their_negations(name, label, finding):
    found, beside = columns_from_folders([f"{name}/a.png", "normal/b.png"])
    assert (found.label, found.finding, found.unclear) == (label, finding, None)
    assert beside.label == "normal"


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("covid-negative", "all is normal"),
        ("no pneumonia", "absent"),
        ("non-COVID", "absent"),
        ("tumor free", "absent"),
        ("normal pressure hydrocephalus", "all is normal"),
        ("positive controls", "contradicts"),
        ("normal_abnormal", "contradicts"),
        ("suspected pneumonia", "not sure"),
        ("false positive", "not sure"),
        ("HC", "controls"),
        ("thumbnails", "no finding"),
        ("to_review", "no finding"),
        ("2019", "no finding"),
        ("patient17", "no finding"),
        ("images", "no finding"),
    ],
)
def test_names_that_are_not_clear_give_no_label_and_are_said(name, why):
    columns = columns_from_folders([f"{name}/a.png", f"{name}/b.png", "normal/c.png"])
    assert [each.label for each in columns] == ["", "", "normal"]
    unclear = UnclearFolders()
    for each in columns:
        unclear.add(each)
    (line,) = unclear.lines
    assert line.startswith(f"2 images have no label, as their folder's name gives none: {name!r} (")
    assert why in line


@pytest.mark.parametrize(
    ("path", "split", "label"),
    [
        ("Normal_test/a.png", "test", "normal"),
        ("train_normal (2)/a.png", "train", "normal"),
        ("test/healthy_controls/a.png", "test", "normal"),
        ("train_test/normal/a.png", "", "normal"),
        ("normal/thumbnails/a.png", "", "normal"),
        ("normal/not normal/a.png", "", "abnormal"),
    ],
)
def test_splits_and_labels_of_nested_names(path, split, label):
    (found,) = columns_from_folders([path])
    assert (found.split, found.label) == (split, label)


def test_no_name_gives_a_label_that_commands_refuse():
    words = ["normal", "control", "test", "train", "no", "non", "positive", "covid", "healthy", "2", "free"]
    names = [f"{a}{mark}{b}" for a in words for b in words for mark in ("_", "-", " ", "")]
    for columns in columns_from_folders([f"{name}/a.png" for name in names]):
        assert columns.label in LABELS
        assert columns.split in SPLITS


@pytest.mark.parametrize("path", ["masks/a.png", "ground_truth/hole/1.png", "x/a_mask.png", "x/a-seg.nii.gz"])
def test_masks_are_known_by_folder_or_ending(path):
    images = part_masks([path, "masked_people/a.png"]).images
    assert images == ["masked_people/a.png"]


@pytest.mark.parametrize(
    "folder",
    ["masks", "Lesion_Masks", "labelsTr", "test_labels", "Ground Truth", "groundtruth", "seg", "annotations"],
)
def test_the_usual_folders_hold_masks(folder):
    images, masks, lone = parted(["images/1.png", f"{folder}/1.png"])
    assert (images, masks, lone) == (["images/1.png"], {"images/1.png": f"{folder}/1.png"}, [])


def test_a_picture_of_a_lesion_in_another_folder_is_an_image_of_its_own():
    paths = ["normal/case1.png", "normal/case2.png", "abnormal/case1_lesion.png", "abnormal/case7_label.png"]
    assert parted(paths) == (paths, {}, [])


def test_a_mask_lies_beside_its_image_or_in_a_folder_for_masks():
    beside = ["a/1.png", "a/1_lesion.png", "b/1.png", "b/1_mask.tif"]
    assert parted(beside) == (
        ["a/1.png", "b/1.png"],
        {"a/1.png": "a/1_lesion.png", "b/1.png": "b/1_mask.tif"},
        [],
    )
    assert parted(["normal/1.png", "abnormal/1_mask.png"]) == (
        ["normal/1.png"],
        {},
        ["abnormal/1_mask.png"],
    )
    assert parted(["a/1.png", "a/1_mask.png", "a/1_seg.png"])[2] == ["a/1_seg.png"]
    assert parted(["a/1.png", "a/1_mask.png", "masks/1.png"])[2] == ["masks/1.png"]


def test_masks_find_the_image_of_their_name_and_folder():
    images = ["flair/p1/1.png", "flair/p2/1.png", "flair/p2/2.nii.gz"]
    masks = ["mask/p1/1_mask.png", "mask/p2/1.png", "mask/p2/2_seg.nii.gz", "mask/p3/9.png"]
    matched, left = match_masks(images, masks)
    assert matched == dict(zip(images, masks[:3], strict=True))
    assert left == ["mask/p3/9.png"]


def test_a_mask_that_fits_several_images_is_left():
    assert match_masks(["a/1.png", "b/1.png"], ["masks/1.png"]) == ({}, ["masks/1.png"])

import pytest

from secondread.cohorts.folder_names import columns_from_folders, is_mask, match_masks


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


@pytest.mark.parametrize("path", ["masks/a.png", "ground_truth/hole/1.png", "x/a_mask.png", "x/a-seg.nii.gz"])
def test_masks_are_known_by_folder_or_ending(path):
    assert is_mask(path)
    assert not is_mask("masked_people/a.png")


def test_masks_find_the_image_of_their_name_and_folder():
    images = ["flair/p1/1.png", "flair/p2/1.png", "flair/p2/2.nii.gz"]
    masks = ["mask/p1/1_mask.png", "mask/p2/1.png", "mask/p2/2_seg.nii.gz", "mask/p3/9.png"]
    matched, left = match_masks(images, masks)
    assert matched == dict(zip(images, masks[:3], strict=True))
    assert left == ["mask/p3/9.png"]


def test_a_mask_that_fits_several_images_is_left():
    assert match_masks(["a/1.png", "b/1.png"], ["masks/1.png"]) == ({}, ["masks/1.png"])

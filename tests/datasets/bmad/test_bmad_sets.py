import pytest

from secondread.errors import UserError

WITH_MASKS = ("bmad-brain", "bmad-liver", "bmad-resc")
WITHOUT = ("bmad-oct2017", "bmad-chest", "bmad-camelyon16")


def masked(set_name):
    return [
        f"{set_name}/train/good/img/00003_60.png",
        f"{set_name}/valid/good/img/00025_99.png",
        *(f"{set_name}/valid/Ungood/{kind}/00124_60.png" for kind in ("img", "label")),
        f"{set_name}/test/good/img/00000_96.png",
        *(f"{set_name}/test/Ungood/{kind}/00002_60.png" for kind in ("img", "label")),
    ]


@pytest.mark.parametrize("name", WITH_MASKS)
def test_sets_with_masks_find_them_under_the_name_of_the_image(name, lay_out, converted, columns):
    found = converted(name, lay_out(*masked("Set")))
    assert columns(found, "split", "label", "mask") == {
        "test/good/img/00000_96.png": ("test", "normal", ""),
        "test/Ungood/img/00002_60.png": ("test", "abnormal", "test/Ungood/label/00002_60.png"),
        "train/good/img/00003_60.png": ("train", "normal", ""),
        "valid/good/img/00025_99.png": ("validation", "normal", ""),
        "valid/Ungood/img/00124_60.png": ("validation", "abnormal", "valid/Ungood/label/00124_60.png"),
    }


@pytest.mark.parametrize("name", WITHOUT)
def test_sets_without_masks_lie_right_in_their_folders(name, lay_out, converted):
    folders = ("train/good", "val/good", "val/Ungood", "test/good", "test/Ungood")
    found = converted(name, lay_out(*(f"{place}/1000.png" for place in folders)))
    assert found.manifest.counts() == {
        "test": {"abnormal": 1, "normal": 1},
        "train": {"normal": 1},
        "validation": {"abnormal": 1, "normal": 1},
    }


def test_slices_of_the_brain_have_their_case_as_patient(lay_out, converted, columns):
    found = converted("bmad-brain", lay_out(*masked("Brain_AD")))
    assert columns(found, "patient_id")["test/Ungood/img/00002_60.png"] == ("00002",)


def test_of_all_six_in_one_folder_the_named_one_is_taken(lay_out, converted):
    folder = lay_out(*masked("Brain_AD"), *masked("Liver_AD"))
    assert converted("bmad-liver", folder).manifest.base.name == "Liver_AD"
    with pytest.raises(UserError, match="2 folders fit: Brain_AD, Liver_AD; give the one that you mean"):
        converted("bmad-chest", folder)


def test_an_abnormal_image_without_its_mask_is_refused(lay_out, converted):
    with pytest.raises(UserError, match=r"1 image in Ungood without a mask .*test/Ungood/img/00009_60.png"):
        converted("bmad-resc", lay_out(*masked("Set"), "Set/test/Ungood/img/00009_60.png"))

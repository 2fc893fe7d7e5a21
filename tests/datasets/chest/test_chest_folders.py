import json

import pytest

from secondread.errors import UserError

KERMANY = (
    "chest_xray/train/NORMAL/IM-0115-0001.jpeg",
    "chest_xray/train/NORMAL/NORMAL2-IM-0927-0001.jpeg",
    "chest_xray/train/PNEUMONIA/person1_bacteria_1.jpeg",
    "chest_xray/train/PNEUMONIA/person447_virus_921_1.jpeg",
    "chest_xray/val/NORMAL/NORMAL2-IM-1427-0001.jpeg",
    "chest_xray/val/PNEUMONIA/person1946_bacteria_4874.jpeg",
    "chest_xray/test/NORMAL/IM-0001-0001.jpeg",
    "chest_xray/test/PNEUMONIA/BACTERIA-1135262-0001.jpeg",
    "__MACOSX/chest_xray/test/NORMAL/IM-0001-0001.jpeg",
)
LISTS = {
    "train": {"0": ["n1.png"], "unlabeled": {"0": ["n2.png"], "1": ["a1.png"]}},
    "test": {"0": ["n3.png"], "1": ["a2.png"]},
}


def test_kermany_has_patients_and_germs_in_its_file_names(lay_out, converted, columns):
    found = converted("kermany-cxr", lay_out(*KERMANY))
    assert columns(found, "split", "label", "finding", "patient_id") == {
        "test/NORMAL/IM-0001-0001.jpeg": ("test", "normal", "", "IM-0001"),
        "test/PNEUMONIA/BACTERIA-1135262-0001.jpeg": (
            *("test", "abnormal", "bacterial pneumonia", "BACTERIA-1135262"),
        ),
        "train/NORMAL/IM-0115-0001.jpeg": ("train", "normal", "", "IM-0115"),
        "train/NORMAL/NORMAL2-IM-0927-0001.jpeg": ("train", "normal", "", "NORMAL2-IM-0927"),
        "train/PNEUMONIA/person1_bacteria_1.jpeg": (
            *("train", "abnormal", "bacterial pneumonia", "person1_bacteria"),
        ),
        "train/PNEUMONIA/person447_virus_921_1.jpeg": (
            *("train", "abnormal", "viral pneumonia", "person447_virus"),
        ),
        "val/NORMAL/NORMAL2-IM-1427-0001.jpeg": ("validation", "normal", "", "NORMAL2-IM-1427"),
        "val/PNEUMONIA/person1946_bacteria_4874.jpeg": (
            *("validation", "abnormal", "bacterial pneumonia", "person1946_bacteria"),
        ),
    }
    assert "start anew for each germ" in found.guessed[0]


def test_kermany_as_ae_flow_learns_from_the_normals_of_train_and_val(lay_out, converted):
    found = converted("kermany-cxr", lay_out(*KERMANY), protocol="ae-flow")
    assert found.manifest.counts() == {"test": {"abnormal": 1, "normal": 1}, "train": {"normal": 3}}


def test_kermany_without_its_test_says_what_is_missing_and_where_to_get_it(lay_out, converted):
    with pytest.raises(
        UserError, match=r"chest_xray: test/normal, test/pneumonia or abnormal are missing; get"
    ):
        converted("kermany-cxr", lay_out(*KERMANY[:4]))


def test_cxad_takes_its_parts_from_data_json(lay_out, converted, columns):
    folder = lay_out(
        *(f"CXAD/images/{name}.png" for name in ("n1", "n2", "n3", "a1", "a2", "left-over")),
        texts={"CXAD/data.json": json.dumps(LISTS)},
    )
    found = converted("cxad", folder)
    assert columns(found, "split", "label", "pool", "pool_order") == {
        "images/a1.png": ("train", "abnormal", "unlabelled", "0"),
        "images/a2.png": ("test", "abnormal", "", ""),
        "images/n1.png": ("train", "normal", "", ""),
        "images/n2.png": ("train", "normal", "unlabelled", "0"),
        "images/n3.png": ("test", "normal", "", ""),
    }
    assert any("1 file in" in note and "in no list" in note for note in found.notes)


def test_cxad_without_its_list_says_so(lay_out, converted):
    with pytest.raises(UserError, match=r"CXAD: data.json is missing"):
        converted("cxad", lay_out("CXAD/images/n1.png"))

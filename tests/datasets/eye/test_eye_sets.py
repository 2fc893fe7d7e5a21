import json

import pytest

from secondread.errors import UserError

OCT = tuple(
    f"OCT2017/{split}/{kind}/{kind}-{patient}-1.jpeg"
    for split, patient in (("train", 1016042), ("val", 1016042), ("test", 8086850))
    for kind in ("NORMAL", "CNV", "DME", "DRUSEN")
)


def test_oct2017_has_patients_in_its_file_names_and_says_who_is_in_two_splits(lay_out, converted, columns):
    found = converted("oct2017", lay_out(*OCT))
    assert columns(found, "split", "label", "finding", "patient_id")["val/CNV/CNV-1016042-1.jpeg"] == (
        *("validation", "abnormal", "choroidal neovascularisation", "1016042"),
    )
    assert any("1 patient has images in several splits" in note for note in found.notes)


def test_oct2017_as_ae_flow_has_normals_to_learn_from_and_the_whole_test(lay_out, converted):
    found = converted("oct2017", lay_out(*OCT), protocol="ae-flow")
    assert found.manifest.counts() == {"test": {"abnormal": 3, "normal": 1}, "train": {"normal": 1}}


def test_oct2017_without_a_class_is_refused(lay_out, converted):
    with pytest.raises(UserError, match=r"OCT2017: test/drusen is missing"):
        converted("oct2017", lay_out(*OCT[:-1]))


def test_lag_has_no_split_of_its_own_and_no_masks(lay_out, converted, columns):
    folder = lay_out(
        "LAG_database_part_1/non_glaucoma/image/1.jpg",
        "LAG_database_part_1/non_glaucoma/attention_map/1.jpg",
        "LAG_database_part_1/suspicious_glaucoma/image/5.jpg",
        texts={"LAG_database_part_1/suspicious_glaucoma/label/5.txt": "1"},
    )
    assert columns(converted("lag", folder), "split", "label", "finding", "mask") == {
        "non_glaucoma/image/1.jpg": ("", "normal", "", ""),
        "suspicious_glaucoma/image/5.jpg": ("", "abnormal", "glaucoma suspect", ""),
    }


def test_lag_as_the_ddad_authors_have_it_is_placed_by_its_list(lay_out, converted):
    lists = {"train": {"0": ["1.jpg"]}, "test": {"0": ["2.jpg"], "1": ["5.jpg"]}}
    folder = lay_out("images/1.jpg", "images/2.jpg", "images/5.jpg", texts={"data.json": json.dumps(lists)})
    counts = converted("lag", folder).manifest.counts()
    assert counts == {"test": {"abnormal": 1, "normal": 1}, "train": {"normal": 1}}


def test_lag_in_another_layout_says_what_was_sought(lay_out, converted):
    with pytest.raises(
        UserError, match=r"sought: non_glaucoma/image.*; or images or train_png_512, data.json"
    ):
        converted("lag", lay_out("healthy/1.jpg"))

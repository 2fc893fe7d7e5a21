import pytest

from secondread.errors import UserError


def category(name):
    return [
        f"{name}/train/good/000.png",
        f"{name}/test/good/000.png",
        f"{name}/test/broken_large/000.png",
        f"{name}/ground_truth/broken_large/000_mask.png",
    ]


MIIC = (
    "MIIC/Anomaly_train/train_normal_000001.jpg",
    "MIIC/Anomaly_test/normal_img/test_normal_000001.jpg",
    "MIIC/Anomaly_test/abnormal_img/test_abnormal_000007.jpg",
    "MIIC/Anomaly_test/abnormal_mask/test_mask_000007.jpg",
    "MIIC/Inpainting_train/train_000001.jpg",
)


def test_mvtec_has_defects_as_findings_and_their_masks(lay_out, converted, columns):
    found = converted("mvtec-ad", lay_out(*category("bottle"), *category("wood")))
    assert columns(found, "split", "label", "finding", "mask", "category")[
        "bottle/test/broken_large/000.png"
    ] == ("test", "abnormal", "broken large", "bottle/ground_truth/broken_large/000_mask.png", "bottle")
    assert len(found.manifest) == 6


def test_mvtec_gives_one_category_by_name_or_by_folder(lay_out, converted):
    folder = lay_out(*category("bottle"), *category("wood"))
    assert len(converted("mvtec-ad", folder, part="wood").manifest) == 3
    assert len(converted("mvtec-ad", folder / "wood").manifest) == 3
    with pytest.raises(UserError, match="--part glass: no such category; there are bottle, wood"):
        converted("mvtec-ad", folder, part="glass")


def test_a_defect_of_mvtec_without_a_mask_is_refused(lay_out, converted):
    with pytest.raises(UserError, match="1 image with a defect without a mask in ground_truth"):
        converted("mvtec-ad", lay_out(*category("bottle"), "bottle/test/broken_large/001.png"))


def test_miic_finds_masks_by_number_and_leaves_inpainting_out(lay_out, converted, columns):
    found = converted("miic", lay_out(*MIIC))
    assert columns(found, "split", "label", "mask") == {
        "Anomaly_test/abnormal_img/test_abnormal_000007.jpg": (
            *("test", "abnormal", "Anomaly_test/abnormal_mask/test_mask_000007.jpg"),
        ),
        "Anomaly_test/normal_img/test_normal_000001.jpg": ("test", "normal", ""),
        "Anomaly_train/train_normal_000001.jpg": ("train", "normal", ""),
    }


def test_miic_without_a_mask_is_refused(lay_out, converted):
    with pytest.raises(UserError, match="1 image in abnormal_img without a mask of its number"):
        converted("miic", lay_out(*MIIC, "MIIC/Anomaly_test/abnormal_img/test_abnormal_000008.jpg"))

import numpy as np
import pytest
from PIL import Image

from secondread.errors import UserError
from secondread.images.read import read_image

BUSI = (
    *("normal/normal (1).png", "normal/normal (1)_mask.png"),
    *("benign/benign (4).png", "benign/benign (4)_mask.png", "benign/benign (4)_mask_1.png"),
    *("malignant/malignant (2).png", "malignant/malignant (2)_mask.png"),
)


def outline(path, row):
    mask = np.zeros((8, 8), np.uint8)
    mask[row] = 255
    Image.fromarray(mask).save(path)


def test_busi_has_all_masks_of_an_image_as_one(lay_out, converted, columns):
    folder = lay_out(*BUSI)
    outline(folder / BUSI[3], 1)
    outline(folder / BUSI[4], 5)
    found = converted("busi", folder)
    said = columns(found, "label", "finding", "mask")
    assert said["normal/normal (1).png"] == ("normal", "", "")
    assert said["malignant/malignant (2).png"] == ("abnormal", "malignant", BUSI[6])
    assert said["benign/benign (4).png"] == ("abnormal", "benign", f"{BUSI[3]}|{BUSI[4]}")
    written = found.manifest.write(folder.parent / "set.csv")
    row = next(row for row in found.manifest.read(written) if "benign" in row.path)
    joined = read_image(found.manifest.read(written).mask_reference(row)).pixels.max(axis=0)
    assert np.flatnonzero(joined.any(axis=1)).tolist() == [1, 5]


def test_busi_may_take_benign_lesions_for_normal(lay_out, converted):
    found = converted("busi", lay_out(*BUSI), normal=("normal", "benign"))
    assert found.manifest.counts() == {"": {"abnormal": 1, "normal": 2}}


def test_busi_without_a_class_is_refused(lay_out, converted):
    with pytest.raises(UserError, match="malignant is missing"):
        converted("busi", lay_out(*BUSI[:5]))

import numpy as np
import pytest
from PIL import Image

from secondread.errors import UserError

PATIENT = "kaggle_3m/TCGA_CS_4941_19960909/TCGA_CS_4941_19960909"


def test_slices_with_an_empty_mask_are_normal(lay_out, converted, columns):
    folder = lay_out(*(f"{PATIENT}_{number}{kind}.tif" for number in (1, 2) for kind in ("", "_mask")))
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(folder / f"{PATIENT}_1_mask.tif")
    place = "TCGA_CS_4941_19960909/TCGA_CS_4941_19960909"
    assert columns(converted("lgg-mri", folder), "label", "finding", "patient_id", "mask") == {
        f"{place}_1.tif": ("normal", "", "TCGA_CS_4941_19960909", ""),
        f"{place}_2.tif": ("abnormal", "glioma", "TCGA_CS_4941_19960909", f"{place}_2_mask.tif"),
    }


def test_a_slice_without_a_mask_is_refused(lay_out, converted):
    with pytest.raises(UserError, match="1 slice without a mask beside it"):
        converted("lgg-mri", lay_out(f"{PATIENT}_1.tif", f"{PATIENT}_1_mask.tif", f"{PATIENT}_2.tif"))

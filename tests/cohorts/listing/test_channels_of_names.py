from pathlib import Path

import nibabel
import numpy as np
import pytest

from secondread.cohorts.listing.index import index
from secondread.cohorts.manifest import Manifest
from secondread.errors import UserError
from secondread.images.read import read_image

WORDS = ("t1", "t1ce", "flair")


def write(path: Path, value: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.full((4, 5, 6), value, np.int16)
    values[0] = 0
    nibabel.Nifti1Image(values, np.eye(4)).to_filename(path)


def test_sequences_become_one_row_in_the_order_that_is_asked_for(tmp_path):
    source = tmp_path / "src"
    for label, patient in (("normal", "p1"), ("abnormal", "p2")):
        for value, word in enumerate(("FLAIR", "t1", "t1ce"), start=1):
            write(source / "train" / label / f"{patient}_{word}.nii.gz", value)
    write(source / "train" / "abnormal" / "p2_seg.nii.gz", 1)
    write(source / "train" / "normal" / "p3_t1.nii.gz", 1)
    write(source / "train" / "normal" / "p4_dwi.nii.gz", 1)
    result = index(source, channels=WORDS, manifest_path=tmp_path / "m.csv", workers=0)
    rows = {row.label: row for row in result.manifest.rows}
    assert rows["normal"].path == "|".join(
        f"train/normal/p1_{word}.nii.gz" for word in ("t1", "t1ce", "FLAIR")
    )
    assert rows["abnormal"].mask == "train/abnormal/p2_seg.nii.gz"
    assert {aside.path: aside.reason for aside in result.set_aside} == {
        "train/normal/p3_t1.nii.gz": "its image lacks t1ce, flair",
        "train/normal/p4_dwi.nii.gz": "names none of the channels t1, t1ce, flair",
    }
    read = Manifest.read(result.manifest.write(tmp_path / "m.csv"))
    assert read_image(read.reference(read.rows[0])).pixels.max((1, 2, 3)).tolist() == [2, 3, 1]


def test_a_folder_for_each_sequence_does_too(tmp_path):
    for word in WORDS:
        for patient in ("p1", "p2"):
            write(tmp_path / "src" / word / f"{patient}.nii.gz", 1)
    result = index(tmp_path / "src", channels=WORDS, workers=0)
    assert [row.path for row in result.manifest.rows] == [
        "|".join(f"{word}/{patient}.nii.gz" for word in WORDS) for patient in ("p1", "p2")
    ]


@pytest.mark.parametrize("words", [("t1",), ("t1", "T1"), ("t1", "")])
def test_words_that_say_no_channels_are_refused(tmp_path, words):
    write(tmp_path / "src" / "p1_t1.nii.gz", 1)
    with pytest.raises(UserError, match="--channels"):
        index(tmp_path / "src", channels=words, workers=0)

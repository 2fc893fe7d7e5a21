from collections import Counter

import numpy as np
import pytest

from secondread.cohorts.listing.npz_rows import read_archive, rows_of_archive
from secondread.images.image import ImageError


def saved(folder, **arrays):
    np.savez(folder / "x.npz", **arrays)
    return folder / "x.npz"


def rows_of_npz(path, written, normal_class=0):
    return rows_of_archive(read_archive(str(path)), written, normal_class)


def test_two_classes_become_normal_and_abnormal(tmp_path):
    path = saved(tmp_path, train_images=np.zeros((3, 4, 4), np.uint8), train_labels=np.array([[0], [1], [0]]),
                 test_images=np.zeros((2, 4, 4), np.uint8))  # fmt: skip
    rows = rows_of_npz(path, "x.npz")
    assert [(r.path, r.split, r.label, r.finding) for r in rows] == [
        ("x.npz#train_images/0", "train", "normal", ""),
        ("x.npz#train_images/1", "train", "abnormal", ""),
        ("x.npz#train_images/2", "train", "normal", ""),
        ("x.npz#test_images/0", "test", "", ""),
        ("x.npz#test_images/1", "test", "", ""),
    ]


def test_other_classes_and_several_labels_become_findings(tmp_path):
    images = np.zeros((3, 4, 4), np.uint8)
    many = rows_of_npz(saved(tmp_path, train_images=images, train_labels=np.array([[2], [1], [5]])), "x", 1)
    assert [(r.label, r.finding) for r in many] == [
        ("abnormal", "class-2"),
        ("normal", ""),
        ("abnormal", "class-5"),
    ]
    several = np.array([[0, 0, 0], [1, 0, 1], [0, 1, 0]])
    rows = rows_of_npz(saved(tmp_path, train_images=images, train_labels=several), "x")
    assert [r.findings for r in rows] == [(), ("class-0", "class-2"), ("class-1",)]
    assert rows[0].label == "normal"


def test_labels_that_do_not_fit_are_refused(tmp_path):
    path = saved(tmp_path, train_images=np.zeros((3, 4, 4), np.uint8), train_labels=np.zeros((2, 1), int))
    with pytest.raises(ImageError, match="train_labels"):
        rows_of_npz(path, "x")
    with pytest.raises(ImageError, match="no array train_images"):
        rows_of_npz(saved(tmp_path, data=np.zeros(3)), "x")


def test_medmnist_keeps_the_official_split(shared_data):
    rows = rows_of_npz(shared_data / "medmnist" / "pneumoniamnist.npz", "p.npz")
    counts = Counter((row.split, row.label) for row in rows)
    assert counts["train", "normal"] == 1214
    assert counts["train", "abnormal"] == 3494
    assert sum(n for (split, _), n in counts.items() if split == "test") == 624

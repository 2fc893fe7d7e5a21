import numpy as np

from secondread.evaluation.pixels import nearest


def test_a_mask_of_the_same_size_is_itself():
    mask = np.eye(3, dtype=bool)
    assert nearest(mask, (3, 3)) is mask


def test_a_mask_of_half_the_size_covers_the_same_field():
    mask = np.array([[True, False], [False, False]])
    assert nearest(mask, (4, 4)).tolist() == np.kron(mask, np.ones((2, 2))).astype(bool).tolist()


def test_a_larger_mask_keeps_its_share():
    mask = np.zeros((90, 60), bool)
    mask[:45] = True
    assert nearest(mask, (30, 30)).mean() == 0.5

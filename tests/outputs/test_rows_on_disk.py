"""Rows on the disk: those of an array."""

from collections.abc import Iterator

import numpy as np
import pytest

from secondread.errors import UserError
from secondread.outputs import temporary
from secondread.outputs.rows_on_disk import RowsOnDisk


@pytest.mark.parametrize("in_memory", [temporary.IN_MEMORY, 16])
def test_they_are_those_of_the_array_in_any_order(in_memory: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(temporary, "IN_MEMORY", in_memory)
    values = np.random.default_rng(0).normal(size=(23, 5)).astype(np.float32)
    found = RowsOnDisk("rows", np.array_split(values, 4))
    some = np.array([22, 0, 7, 7])
    assert len(found) == 23
    assert found[some].dtype == np.float32
    np.testing.assert_array_equal(found[some], values[some])
    assert found[some[:0]].shape == (0, 5)


def test_equal_rows_have_one_digest_whatever_their_blocks() -> None:
    values = np.arange(12.0).reshape(6, 2)
    digests = [
        RowsOnDisk("rows", blocks).digest
        for blocks in ([values], [values[:1], values[1:]], [values.reshape(4, 3)], [values + 1], [])
    ]
    assert digests[0] == digests[1]
    assert len(set(digests)) == 4


def test_rows_of_another_length_and_a_full_disk_are_told() -> None:
    def full() -> Iterator[np.ndarray]:
        yield np.zeros((1, 2))
        raise OSError(28, "No space left on device")

    with pytest.raises(UserError, match=r"things: no room left .* set TMPDIR"):
        RowsOnDisk("things", full())
    with pytest.raises(ValueError, match="after some of"):
        RowsOnDisk("things", [np.zeros((1, 2)), np.zeros((1, 3))])

"""Tensor files: what is one, and what is refused."""

import json
import pickle
import struct
from pathlib import Path

import numpy as np
import pytest

from secondread.bundles.declared import TensorFile
from secondread.bundles.tensors import write_tensors
from secondread.errors import DataError


def test_a_header_of_any_length_is_read_back(tmp_path: Path) -> None:
    """Names of growing length give headers of 64 lengths in steps of 8, so each low byte of a length that
    the format's padding allows, 0x80 of a pickle and 0x50 of a zip among them."""
    lowest = set()
    for extra in range(0, 256, 8):
        file = tmp_path / f"{extra}.safetensors"
        declared = write_tensors(file, {"x" * (1 + extra): np.arange(6.0)})
        lowest.add(file.read_bytes()[0])
        (tensor,) = TensorFile.open(file, declared).read().values()
        assert tensor.tolist() == list(range(6))
    assert {0x80, 0x50} <= lowest


@pytest.mark.parametrize("data", [pickle.dumps(["x" * 300], protocol=4), b"PK\x03\x04" + bytes(300)])
def test_a_pickle_and_a_zip_are_told_as_such(tmp_path: Path, data: bytes) -> None:
    file = tmp_path / "model.safetensors"
    declared = write_tensors(file, {"x": np.zeros(3)})
    file.write_bytes(data)
    with pytest.raises(DataError, match="a pickle"):
        TensorFile.open(file, declared.model_copy(update={"bytes": len(data)}))


def test_a_header_that_is_no_mapping_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    declared = write_tensors(file, {"x": np.zeros(3)})
    header = json.dumps([1, 2]).encode()
    data = struct.pack("<Q", len(header)) + header
    file.write_bytes(data)
    with pytest.raises(DataError, match="not a safetensors file"):
        TensorFile.open(file, declared.model_copy(update={"bytes": len(data)}))

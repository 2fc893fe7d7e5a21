"""Tensor files: what is one, and what is refused."""

import hashlib
import json
import pickle
import struct
from pathlib import Path

import numpy as np
import pytest
import torch

from secondread.bundles.declared import DeclaredFile, DeclaredTensor, TensorFile
from secondread.bundles.tensors import TYPES, read_tensors, write_tensors
from secondread.errors import DataError


def test_a_header_of_any_length_is_read_back(tmp_path: Path) -> None:
    """Names of growing length give headers of 64 lengths in steps of 8, so each low byte of a length that
    the format's padding allows, 0x80 of a pickle and 0x50 of a zip among them."""
    lowest = set()
    for extra in range(0, 256, 8):
        file = tmp_path / f"{extra}.safetensors"
        declared = write_tensors(file, {"x" * (1 + extra): np.arange(6.0)})
        lowest.add(file.read_bytes()[0])
        (tensor,) = read_tensors(TensorFile.open(file, declared)).values()
        assert tensor.tolist() == list(range(6))
    assert {0x80, 0x50} <= lowest


def test_tensors_of_every_type_and_of_none_or_no_axis_are_read_back(tmp_path: Path) -> None:
    given = {str(dtype): torch.tensor([[1, 0, 1]]).to(dtype) for dtype in TYPES}
    given |= {"empty": torch.empty(0, 4), "number": torch.tensor(2.5), "whole": torch.tensor(7)}
    file = tmp_path / "model.safetensors"
    found = read_tensors(TensorFile.open(file, write_tensors(file, given)))
    assert found.keys() == given.keys()
    for name, tensor in given.items():
        assert (found[name].dtype, found[name].shape) == (tensor.dtype, tensor.shape)
        assert torch.equal(found[name], tensor)


def test_tensors_that_another_program_placed_anywhere_are_read(tmp_path: Path) -> None:
    forms = {"bytes": ("U8", [3]), "numbers": ("F64", [2])}
    places = {"bytes": [0, 3], "numbers": [3, 19]}
    header = {name: {"dtype": t, "shape": s, "data_offsets": places[name]} for name, (t, s) in forms.items()}
    text = json.dumps(header).encode()
    data = struct.pack("<Q", len(text)) + text + bytes([1, 2, 3]) + np.array([0.5, -2.0]).tobytes()
    file = tmp_path / "model.safetensors"
    file.write_bytes(data)
    told = {name: DeclaredTensor(dtype=t, shape=tuple(s)) for name, (t, s) in forms.items()}
    declared = DeclaredFile(bytes=len(data), sha256=hashlib.sha256(data).hexdigest(), tensors=told)
    found = read_tensors(TensorFile.open(file, declared))
    assert (found["bytes"].tolist(), found["numbers"].tolist()) == ([1, 2, 3], [0.5, -2.0])


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

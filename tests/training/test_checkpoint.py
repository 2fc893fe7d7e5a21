"""Checkpoints that lie there: torn ones are passed over, made-up ones are refused."""

import hashlib
import pickle

import pytest
import torch

from secondread.errors import UserError
from secondread.training.checkpoint import Checkpoints

STATE = {"fingerprint": {}, "detector": {"x": torch.ones(2)}, "log": "{}", "stage": 0, "done": True}


def named(folder, data: bytes) -> None:
    (folder / f"checkpoint-00000007-{hashlib.sha256(data).hexdigest()}.pt").write_bytes(data)


def test_a_torn_checkpoint_is_passed_over(tmp_path) -> None:
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(STATE)
    newest = checkpoints.save(STATE)
    newest.write_bytes(newest.read_bytes()[:-5])
    found = checkpoints.latest()
    assert found is not None
    assert found["detector"]["x"].tolist() == [1, 1]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"x" * 100,
        pickle.dumps({"a": 1}),
        pickle.dumps(bytearray),
        b"\x80\x02cos\nsystem\n(X\x01\x00\x00\x00atR.",
    ],
    ids=["empty", "text", "pickle", "name", "code"],
)
def test_a_made_up_checkpoint_is_refused_in_one_line(tmp_path, data: bytes) -> None:
    named(tmp_path, data)
    with pytest.raises(UserError, match="no checkpoint of a fit") as caught:
        Checkpoints(tmp_path).latest()
    assert "\n" not in str(caught.value)


def test_a_checkpoint_with_other_fields_is_refused(tmp_path) -> None:
    for changed in ({"log": 3}, {"stage": "x"}, {"detector": None}):
        path = tmp_path / "made.pt"
        torch.save(STATE | changed, path)
        named(tmp_path, path.read_bytes())
        with pytest.raises(UserError, match="other fields"):
            Checkpoints(tmp_path).latest()
        for file in tmp_path.iterdir():
            file.unlink()

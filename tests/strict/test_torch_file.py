"""Files that torch.save wrote, or that pretend to."""

import gc
import pickle
import time
import zipfile

import pytest
import torch

from secondread.strict.plain_file import Unfit
from secondread.strict.torch_file import MAGIC, check_torch_file


def refused(path) -> str:
    gc.freeze()  # what a long run of tests has made is not walked through while the pickle is read
    began = time.process_time()
    with pytest.raises(Unfit) as caught:
        check_torch_file(path)
    assert time.process_time() - began < 1
    gc.unfreeze()
    assert "\n" not in str(caught.value)
    return str(caught.value)


STATE = {
    "weight": torch.arange(12.0).view(3, 4).T,
    "half": torch.zeros(5).half(),
    "scalar": torch.tensor(3),
    "parameter": torch.nn.Parameter(torch.ones(2)),
    "nested": [{"step": torch.tensor(1.0)}, ("text", 1, 2.5, None, True)],
    "empty": torch.empty(0, 3),
    "bf16": torch.zeros(2, dtype=torch.bfloat16),
    "expanded once": torch.ones(1, 3).expand(1, 3),
}


@pytest.mark.parametrize("archive", [True, False])
def test_what_torch_saves_is_taken(tmp_path, archive: bool) -> None:
    path = tmp_path / "state.pth"
    torch.save(STATE, path, _use_new_zipfile_serialization=archive)
    check_torch_file(path)
    optimiser = torch.optim.Adam([torch.nn.Parameter(torch.ones(3))])
    torch.save(optimiser.state_dict(), path, _use_new_zipfile_serialization=archive)
    check_torch_file(path)


def archive_of(path, pickled: bytes, data: bytes = b"\0" * 16, compression: int = zipfile.ZIP_STORED) -> None:
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("archive/data.pkl", pickled)
        archive.writestr("archive/data/0", data)
        archive.writestr("archive/version", "3\n")


def pickled_tensor(length: int, size: tuple[int, ...], stride: tuple[int, ...], offset: int = 0) -> bytes:
    """A pickle of one float32 tensor, written by hand: what it says need not be true."""
    numbers = [pickle.dumps(value, protocol=2)[2:-1] for value in (length, offset, size, stride)]
    return (
        b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n((X\x07\x00\x00\x00storagectorch\nFloatStorage\n"
        b"X\x01\x00\x00\x000X\x03\x00\x00\x00cpu" + numbers[0] + b"tQ" + b"".join(numbers[1:])
        + b"\x89ccollections\nOrderedDict\n)RtR."
    )  # fmt: skip


def test_a_tensor_as_large_as_its_bytes_is_taken(tmp_path) -> None:
    archive_of(tmp_path / "a.pth", pickled_tensor(4, (2, 2), (2, 1)))
    check_torch_file(tmp_path / "a.pth")


@pytest.mark.parametrize(
    ("length", "size", "stride", "offset"),
    [
        (10**12, (4,), (1,), 0),
        (4, (10**12,), (0,), 0),
        (4, (5,), (1,), 0),
        (4, (4,), (1,), 1),
        (4, (4,), (10**9,), 0),
        (4, (-4,), (1,), 0),
        (4, (4,), (-1,), 0),
        (4, (4,), (), 0),
        (-4, (4,), (1,), 0),
        (2**70, (2**70,), (1,), 0),
    ],
)
def test_a_tensor_that_is_larger_than_its_bytes_is_refused(tmp_path, length, size, stride, offset) -> None:
    archive_of(tmp_path / "a.pth", pickled_tensor(length, size, stride, offset))
    refused(tmp_path / "a.pth")


@pytest.mark.parametrize(
    "pickled",
    [
        pickle.dumps(bytearray, protocol=2),
        b"\x80\x02c__builtin__\nbytearray\n\x8a\x06\x00\x00\x00\x00\x00\x01\x85R.",
        b"\x80\x02cos\nsystem\nX\x04\x00\x00\x00true\x85R.",
        b"\x80\x02ctorch.serialization\nload\n.",
        b"\x80\x02X\x01\x00\x00\x00aQ.",
        b"\x80\x02" + b"]" * 100_000 + b"a" * 99_999 + b".",
        b"\x80\x02",
        b"",
        b".",
        b"\xff" * 1000,
    ],
    ids=["name", "bytearray", "system", "load", "reference", "deep", "cut", "empty", "stop", "noise"],
)
def test_a_pickle_of_anything_else_is_refused(tmp_path, pickled: bytes) -> None:
    archive_of(tmp_path / "a.pth", pickled)
    if len(pickled) < 100_000:
        refused(tmp_path / "a.pth")
    (tmp_path / "b.pth").write_bytes(pickled)
    refused(tmp_path / "b.pth")
    (tmp_path / "c.pth").write_bytes(pickle.dumps(MAGIC, protocol=2) + pickled)
    refused(tmp_path / "c.pth")


def test_an_archive_that_unpacks_to_more_than_it_is_is_refused(tmp_path) -> None:
    pickled = pickled_tensor(1 << 24, (1 << 24,), (1,))
    archive_of(tmp_path / "a.pth", pickled, bytes(1 << 26), zipfile.ZIP_DEFLATED)
    assert "compressed" in refused(tmp_path / "a.pth")
    archive_of(tmp_path / "b.pth", pickled)
    (tmp_path / "c.pth").write_bytes((tmp_path / "b.pth").read_bytes()[:-30])
    refused(tmp_path / "c.pth")


def test_the_old_form_cut_short_is_refused(tmp_path) -> None:
    path = tmp_path / "old.pth"
    torch.save(STATE, path, _use_new_zipfile_serialization=False)
    whole = path.read_bytes()
    for length in (len(whole) - 1, len(whole) // 2, 30):
        path.write_bytes(whole[:length])
        refused(path)

"""What a frozen network says of each image, computed once and kept in memory-mapped files.

A bfloat16 output is kept bit by bit (as uint16); float32 is kept as float16, or as float32 where
float16 would overflow. A file gets its name only when it is whole, so a killed pass starts again and
a finished one is found by its key. What an earlier run left is used only where `form.json` has the folder's
own name and the checksum (CRC-32) of each file, and one of itself; else the pass is made again.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from numpy.lib.format import open_memmap
from torch import Tensor, nn

from secondread.outputs.private import make_folder
from secondread.outputs.whole import write_whole
from secondread.scoring.device import to_device
from secondread.scoring.image_source import ImageSource
from secondread.scoring.state_digest import state_digest

if TYPE_CHECKING:
    from secondread.scoring.one_process import Processes

Frozen = Callable[[Tensor], tuple[Tensor, ...]]


def features_key(stage: str, detector: nn.Module, digests: Iterable[str], precision: str) -> str:
    text = json.dumps([stage, state_digest(detector.state_dict()), list(digests), precision])
    return hashlib.blake2b(text.encode(), digest_size=12).hexdigest()


def _stored(tensor: Tensor) -> npt.NDArray[np.generic]:
    """As it lies on disk: bfloat16 as its bits."""
    tensor = tensor.detach().cpu().contiguous()
    return tensor.view(torch.uint16).numpy() if tensor.dtype == torch.bfloat16 else tensor.numpy()


@dataclass(frozen=True)
class _Form:
    """How one output of the frozen function is kept."""

    shape: tuple[int, ...]
    dtype: torch.dtype

    @classmethod
    def of(cls, output: Tensor, exact: bool) -> _Form:
        halved = output.dtype == torch.float32 and not exact
        return cls(tuple(output.shape[1:]), torch.float16 if halved else output.dtype)


class FrozenFeatures:
    """The kept outputs for one cohort: `rows(indices)` gives a float32 tensor `[n, ...]` per output."""

    def __init__(self, directory: Path) -> None:
        self.arrays = [np.load(path, mmap_mode="r") for path in sorted(directory.glob("output-*.npy"))]
        self.is_bfloat16 = json.loads((directory / "form.json").read_text())["bfloat16"]

    def rows(self, indices: Sequence[int] | npt.NDArray[np.intp]) -> tuple[Tensor, ...]:
        found = []
        for array, bfloat16 in zip(self.arrays, self.is_bfloat16, strict=True):
            tensor = torch.from_numpy(np.asarray(array[np.asarray(indices, dtype=np.intp)]))
            found.append((tensor.view(torch.bfloat16) if bfloat16 else tensor).float())
        return tuple(found)


def frozen_features(
    frozen: Frozen,
    source: ImageSource,
    directory: Path,
    fabric: Processes,
    *,
    batch_size: int,
    advance: Callable[[int], None] = lambda images: None,
    alone: bool = False,
) -> FrozenFeatures:
    """The features of every image of the source: those already in `directory`, or computed into it, each
    image `alone` where somebody keeps what an encoder says of single images (`scoring.kept_encodings`).
    Under several processes each computes its part; the directory must be one that all see."""
    if not fabric.broadcast(fabric.is_global_zero and is_whole(directory)):
        if fabric.is_global_zero:
            (directory / "form.json").unlink(missing_ok=True)
        fabric.barrier()
    for exact in (False, True):
        if not (directory / "form.json").exists():
            _compute(frozen, source, directory, fabric, batch_size, advance, alone, exact=exact)
    return FrozenFeatures(directory)


def is_whole(directory: Path) -> bool:
    """Whether a finished pass lies here, and is as it was written."""
    try:
        form = json.loads((directory / "form.json").read_bytes())
        files = sorted(path.name for path in directory.glob("output-*.npy"))
        if form.pop("check") != _form_check(form):
            return False
        if form["name"] != directory.name or files != sorted(form["checksums"]):
            return False
        return all(_checksum(directory / name) == form["checksums"][name] for name in files)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False


def _form_check(form: Mapping[str, object]) -> int:
    return zlib.crc32(json.dumps(form, sort_keys=True).encode())


def _checksum(path: Path) -> int:
    found = 0
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            found = zlib.crc32(block, found)
    return found


@torch.no_grad()
def _compute(
    frozen: Frozen,
    source: ImageSource,
    directory: Path,
    fabric: Processes,
    batch_size: int,
    advance: Callable[[int], None],
    alone: bool,
    *,
    exact: bool,
) -> None:
    """Writes the files. Where float16 overflows they stay without their `form.json`, so unused; with
    `exact` float32 is kept as it is."""

    def computed(pixels: npt.NDArray[np.float32]) -> tuple[Tensor, ...]:
        images = to_device(torch.from_numpy(pixels), fabric.device)
        with fabric.autocast():
            return frozen(images)

    def outputs(indices: Sequence[int]) -> tuple[Tensor, ...]:
        pixels = source.batch(indices)[0]
        if not alone:
            return computed(pixels)
        each = [computed(pixels[number : number + 1]) for number in range(len(pixels))]
        return tuple(torch.cat(parts) for parts in zip(*each, strict=True))

    forms = [_Form.of(output, exact) for output in outputs([0])]
    paths = [directory / f"output-{number:02d}.npy" for number in range(len(forms))]
    if fabric.is_global_zero:
        make_folder(directory)
        for path, form in zip(paths, forms, strict=True):
            dtype = _stored(torch.empty(0, dtype=form.dtype)).dtype
            open_memmap(path, mode="w+", dtype=dtype, shape=(len(source), *form.shape)).flush()
    fabric.barrier()
    arrays = [open_memmap(path, mode="r+") for path in paths]
    overflow = False
    starts = range(fabric.global_rank * batch_size, len(source), fabric.world_size * batch_size)
    for start in starts:
        rows = range(start, min(start + batch_size, len(source)))
        for array, form, output in zip(arrays, forms, outputs(rows), strict=True):
            rounded = output.to(form.dtype)
            if form.dtype == torch.float16 and bool((rounded.isinf() & output.isfinite()).any()):
                overflow = True
            array[start : rows.stop] = _stored(rounded)
        advance(len(rows))
        if overflow and fabric.world_size == 1:
            break
    for array in arrays:
        array.flush()
    anywhere = fabric.all_reduce(torch.tensor(float(overflow), device=fabric.device), reduce_op="sum")
    fabric.barrier()
    if fabric.is_global_zero and not bool(anywhere):
        said = {
            "name": directory.name,
            "bfloat16": [form.dtype == torch.bfloat16 for form in forms],
            "checksums": {path.name: _checksum(path) for path in paths},
        }
        write_whole(directory / "form.json", json.dumps({**said, "check": _form_check(said)}).encode())
    fabric.barrier()

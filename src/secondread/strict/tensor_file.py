"""The header of a safetensors file, checked by arithmetic before a tensor exists. No torch here.

The format is eight bytes of length, a JSON object, and the tensors' bytes without gap or overlap:
https://github.com/huggingface/safetensors.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

from secondread.strict.json_text import parse_json
from secondread.strict.limits import Limits
from secondread.strict.plain_file import Unfit, length_of

BYTES = {
    "BOOL": 1,
    "U8": 1,
    "I8": 1,
    "I16": 2,
    "I32": 4,
    "I64": 8,
    "F16": 2,
    "BF16": 2,
    "F32": 4,
    "F64": 8,
}
HEADER = Limits(length=16 << 20, values=500_000, depth=4, text=1 << 10, digits=15)
MOST_AXES = 8


@dataclass(frozen=True)
class TensorForm:
    """Type (as safetensors calls it) and shape of a tensor that need not be there yet."""

    dtype: str
    shape: tuple[int, ...]

    def __post_init__(self) -> None:
        if self.dtype not in BYTES:
            raise Unfit(f"{str(self.dtype)[:20]!r} is no type of a tensor; {', '.join(BYTES)} are")
        if len(self.shape) > MOST_AXES or not all(type(side) is int and side >= 0 for side in self.shape):
            raise Unfit(f"{str(self.shape)[:60]} is no shape of a tensor")

    @property
    def bytes(self) -> int:
        return math.prod(self.shape) * BYTES[self.dtype]

    def __str__(self) -> str:
        return f"{self.dtype} {list(self.shape)}"


def read_header(file: BinaryIO) -> dict[str, TensorForm]:
    """Names and forms of an open file's tensors; their bytes fill what follows the header exactly.

    Raises Unfit where the file is none. A pickle or a zip is told by what a safetensors file cannot have: any
    first byte may be the low one of a length, 0x80 (a pickle's) too.
    """
    size = length_of(file)
    file.seek(0)
    start = file.read(9)
    length = int.from_bytes(start[:8], "little")
    fits = len(start) == 9 and 2 <= length <= min(size - 8, HEADER.length)
    if not fits or start[8:] != b"{":
        if start[:1] == b"\x80" or start[:2] == b"PK":
            raise Unfit("a pickle, not a safetensors file; pickles are never loaded from here")
        claim = "its header does not begin" if fits else f"it claims a header of {length:,} bytes"
        raise Unfit(f"not a safetensors file ({claim} in a file of {size:,} bytes)")
    file.seek(8)
    try:
        entries = parse_json(file.read(length), HEADER)
    except Unfit as error:
        raise Unfit(f"the safetensors header {error}") from None
    return _forms(entries, size - 8 - length)


def _forms(entries: Mapping[str, Any], size: int) -> dict[str, TensorForm]:
    found = []
    for name, entry in entries.items():
        if name == "__metadata__":
            continue
        if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
            raise Unfit(
                f"the safetensors header says of {name[:80]!r} something else than type, shape, offsets"
            )
        shape, offsets = entry["shape"], entry["data_offsets"]
        if not isinstance(shape, list) or not isinstance(entry["dtype"], str):
            raise Unfit(f"the safetensors header gives {name[:80]!r} no type or shape of a tensor")
        if (
            not isinstance(offsets, list)
            or len(offsets) != 2
            or not all(type(offset) is int and 0 <= offset <= size for offset in offsets)
        ):
            raise Unfit(f"the safetensors header gives {name[:80]!r} no place within the file")
        found.append((offsets[0], offsets[1], name, TensorForm(entry["dtype"], tuple(shape))))
    end = 0
    for first, last, name, form in sorted(found, key=lambda one: one[:3]):
        if first != end or last - first != form.bytes:
            raise Unfit(f"the data of tensor {name[:80]!r} do not lie where the safetensors header says")
        end = last
    if end != size:
        raise Unfit(f"the tensors do not fill the file ({end:,} of {size:,} bytes)")
    return {name: form for _, _, name, form in found}

"""The structure of a file that `torch.save` wrote, checked before torch reads it. No torch here.

Such a file is a pickle that rebuilds tensors, beside their bytes: in a zip archive, or one after the other as
PyTorch wrote before 1.6. Here the pickle runs with stand-ins that only reckon; a name other than theirs is
refused. `torch.load(weights_only=True)` runs no code either, but believes the sizes that it is told.
"""

from __future__ import annotations

import math
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from secondread.strict.plain_file import Unfit, length_of, open_plain

LARGEST_PICKLE = 64 << 20
MOST_RECORDS = 100_000
MAGIC = 0x1950A86A20F9469CFC6C
ITEM_BYTES = {
    "BFloat16": 2, "Bool": 1, "Byte": 1, "Char": 1, "Double": 8,
    "Float": 4, "Half": 2, "Int": 4, "Long": 8, "Short": 2,
}  # fmt: skip


@dataclass(frozen=True)
class _Storage:
    item: int
    length: int


def check_torch_file(path: str | Path) -> None:
    """Raises Unfit in one line for a file that holds anything but plain tensors, numbers, texts and
    containers, or tensors larger than their bytes in the file; OSError where it cannot be read."""
    with open_plain(path) as file:
        try:
            if file.read(2) == b"PK":
                _check_archive(file)
            else:
                _check_sequence(file)
        except Unfit:
            raise
        except (RecursionError, MemoryError):
            raise Unfit("its pickle is nested too deep") from None
        except Exception as error:  # the pickle machine raises of every kind for a broken stream
            raise Unfit(f"not a file of plain tensors ({str(error) or type(error).__name__})") from None


def _check_archive(file: BinaryIO) -> None:
    with zipfile.ZipFile(file) as archive:
        records = archive.infolist()
        if len(records) > MOST_RECORDS or len({record.filename for record in records}) != len(records):
            raise Unfit("its archive has too many records, or two of one name")
        if any(record.compress_type != zipfile.ZIP_STORED for record in records):
            raise Unfit("its archive is compressed, which torch.save does not do")
        if sum(record.file_size for record in records) > length_of(file):
            raise Unfit("its archive claims more bytes than the file has")
        pickles = [record for record in records if record.filename.endswith("/data.pkl")]
        if len(pickles) != 1 or pickles[0].file_size > LARGEST_PICKLE:
            raise Unfit("its archive has no data.pkl of a sensible length")
        folder = pickles[0].filename.removesuffix("data.pkl") + "data/"
        sizes = {
            record.filename.removeprefix(folder): record.file_size
            for record in records
            if record.filename.startswith(folder)
        }
        with archive.open(pickles[0]) as data:
            _Reckoner(data, sizes).load()


def _check_sequence(file: BinaryIO) -> None:
    """The form before 1.6: magic number, version, system, object, keys, then each storage with its length."""
    file.seek(0)
    if length_of(file) < 16 or file.read(1) != b"\x80":
        raise Unfit("neither an archive nor a pickle of torch.save")
    file.seek(0)
    if _Reckoner(file, {}).load() != MAGIC:
        raise Unfit("a pickle that torch.save did not write")
    for _ in range(2):
        _Reckoner(file, {}).load()
    main = _Reckoner(file, None)
    main.load()
    if file.tell() > LARGEST_PICKLE:
        raise Unfit("its pickle is too long")
    keys = _Reckoner(file, {}).load()
    if not isinstance(keys, list) or set(keys) != set(main.storages) or len(keys) != len(main.storages):
        raise Unfit("its list of storages is not that of its tensors")
    needed = sum(8 + storage.length * storage.item for storage in main.storages.values())
    if file.tell() + needed != length_of(file):
        raise Unfit("its tensors do not fill the file")


class _Reckoner(pickle.Unpickler):
    """A pickle machine in which every name stands for something that only reckons.

    sizes  bytes that each storage has in the file; None = not known yet
    """

    def __init__(self, file: Any, sizes: Mapping[str, int] | None) -> None:
        super().__init__(file)
        self.sizes = sizes
        self.storages: dict[str, _Storage] = {}

    def find_class(self, module: str, name: str) -> Any:
        known: Mapping[tuple[str, str], Callable[..., Any]] = {
            ("collections", "OrderedDict"): OrderedDict,
            ("torch._utils", "_rebuild_tensor_v2"): _tensor,
            ("torch._utils", "_rebuild_parameter"): _parameter,
        }
        if (module, name) in known:
            return known[module, name]
        kind = name.removesuffix("Storage")
        if module == "torch" and kind != name and kind in ITEM_BYTES:
            return kind
        raise Unfit(f"not a file of plain tensors: it asks for {module[:40]}.{name[:40]}")

    def persistent_load(self, pid: Any) -> _Storage:
        what, kind, key, _, length = pid[:5]
        if what != "storage" or type(key) is not str or type(length) is not int or length < 0:
            raise Unfit("it refers to something that is no storage of a tensor")
        if len(pid) > 5 and pid[5] is not None:
            raise Unfit("it refers to a view of a storage, which only very old files do")
        storage = _Storage(ITEM_BYTES[kind], length)
        if self.sizes is not None and storage.item * length > self.sizes.get(key, -1):
            raise Unfit(f"a tensor is larger than its {self.sizes.get(key, 0):,} bytes in the file")
        if self.storages.setdefault(key, storage) != storage:
            raise Unfit("one storage is given two lengths")
        return storage


def _tensor(
    storage: _Storage, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: Any
) -> object:
    numbers = (offset, *size, *stride)
    if len(size) != len(stride) or not all(type(number) is int and number >= 0 for number in numbers):
        raise Unfit("a tensor has no sensible shape")
    elements = math.prod(size)
    last = offset + sum((length - 1) * step for length, step in zip(size, stride, strict=True))
    if elements and (elements > storage.length or last >= storage.length):
        raise Unfit("a tensor is larger than its bytes in the file")
    return _Tensor()


class _Tensor:
    pass


def _parameter(data: object, *_: Any) -> object:
    return data

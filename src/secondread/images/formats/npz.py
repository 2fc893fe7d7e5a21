"""NumPy archives in MedMNIST's layout: arrays of many small images, read one image at a time."""

from __future__ import annotations

import math
import zipfile
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from secondread.images.colour import channels_first, refuse_non_finite
from secondread.images.formats.npy import array_header
from secondread.images.image import VECTOR, Geometry, Image, ImageError
from secondread.images.limits import LARGEST_DEFLATE_RATIO, ReadLimits
from secondread.images.refusal import refusing
from secondread.images.source import Reference, digest_of

NO_ARRAYS = ("a zip archive that holds no NumPy arrays", "unpack it, and list the folder")
_MAX_OPEN = 4
_PIECE = 1 << 20
_LARGEST_RATIO = {zipfile.ZIP_STORED: 1, zipfile.ZIP_DEFLATED: LARGEST_DEFLATE_RATIO}
"""What a compressed byte can become, where the method has a bound."""


@dataclass(frozen=True)
class Member:
    """One array of an archive: its name, and shape and type from its header."""

    name: str
    shape: tuple[int, ...]
    dtype: str


def list_members(path: str | Path) -> list[Member]:
    """The arrays that an npz holds, from their headers alone; arrays of Python objects are left out.

    Raises ImageError for a file that is not such an archive, and where an array has more images than its file
    can hold.
    """
    with refusing(str(path), "not a NumPy archive that can be read"), zipfile.ZipFile(path) as archive:
        found = []
        size = Path(path).stat().st_size
        for entry in archive.infolist():
            if not entry.filename.endswith(".npy"):
                continue
            if entry.flag_bits & 1:
                raise ImageError(str(path), "an encrypted archive", "save it without a password")
            with archive.open(entry) as stream:
                shape, _, dtype = array_header(str(path), stream)
                start = stream.tell()
            if dtype.hasobject:
                continue
            if len(shape) >= 3:
                room = entry.file_size - start
                if entry.compress_type in _LARGEST_RATIO:
                    packed = min(entry.compress_size, size)
                    room = min(room, _LARGEST_RATIO[entry.compress_type] * packed)
                _check_images(str(path), shape, dtype.itemsize, room)
            found.append(Member(entry.filename.removesuffix(".npy"), shape, str(dtype)))
        return found


def _check_images(path: str, shape: tuple[int, ...], itemsize: int, room: int) -> None:
    """Raise ImageError where an array's header says more images than `room` bytes hold."""
    if min(shape) <= 0:
        raise ImageError(path, f"an array of shape {shape} holds no images", "save it again")
    each = math.prod(shape[1:]) * itemsize
    ReadLimits().check_count(path, shape[0], "images", least_bytes=each, file_bytes=room)


def read_npz(reference: Reference, limits: ReadLimits) -> Image:
    """One image of an archive: `archive.npz#train_images/17`.

    An array `[n, rows, columns]` or `[n, rows, columns, 3]` holds 2-D images, `[n, slices, rows, columns]`
    volumes, and `[n, D]` of floating-point numbers vectors, each an image of one row. A further array
    `spacing` of two (of volumes three) numbers holds millimetres along each axis. Nothing is unpickled.
    The digest is that of the image's own bytes. Raises ImageError.
    """
    name, _, number = (reference.member or "").rpartition("/")
    if not name or not number.isdecimal():
        members = list_members(reference.path)
        if not members:
            raise ImageError(reference.text, *NO_ARRAYS)
        arrays = ", ".join(f"{m.name} {m.shape}" for m in members[:12])
        raise ImageError(
            reference.text, f"an archive of arrays ({arrays})", "name one image, such as #train_images/0"
        )
    with refusing(reference.text, advice="copy the archive again"):
        array = _open_array(reference, name)
        return array.image(reference, int(number), limits)


class _OpenArray:
    """An array inside an archive with its stream kept open, so that reading in order unpacks it once."""

    def __init__(self, reference: Reference, name: str) -> None:
        self.archive = zipfile.ZipFile(reference.path)
        try:
            self.stream = self.archive.open(f"{name}.npy")
        except KeyError:
            held = ", ".join(sorted(n.removesuffix(".npy") for n in self.archive.namelist()))
            self.archive.close()
            raise ImageError(reference.text, f"no array '{name}'", f"it holds {held[:300]}") from None
        try:
            self._check(reference, name)
        except BaseException:
            self.close()
            raise

    def _check(self, reference: Reference, name: str) -> None:
        self.shape, self.fortran, self.dtype = array_header(reference.text, self.stream)
        self.start = self.stream.tell()
        self.spacing = _spacing(self.archive)
        if self.dtype.hasobject:
            raise ImageError(reference.text, f"'{name}' holds Python objects, which are never loaded")
        vectors = len(self.shape) == 2 and self.dtype.kind == "f"
        images = 3 <= len(self.shape) <= 5 and self.dtype.kind in "buif"
        if self.fortran or not (images or vectors):
            raise ImageError(
                reference.text, f"'{name}' {self.shape} {self.dtype} is no stack of images in C order"
            )
        self._follow(reference)

    def _follow(self, reference: Reference) -> None:
        """Read the array to its end once, where its check sum stands: single images have none."""
        expected = math.prod(self.shape) * self.dtype.itemsize
        found = 0
        while piece := self.stream.read(_PIECE):
            found += len(piece)
            if found > expected:
                break
        if found != expected:
            raise ImageError(
                reference.text,
                f"the header says {expected:,} bytes of values, and the archive holds "
                f"{'more' if found > expected else f'{found:,}'}",
                "copy the archive again",
            )

    def close(self) -> None:
        self.stream.close()
        self.archive.close()

    def image(self, reference: Reference, number: int, limits: ReadLimits) -> Image:
        count, *shape = self.shape if len(self.shape) > 2 else (self.shape[0], 1, self.shape[1])
        if number >= count:
            raise ImageError(reference.text, f"the array has images 0 to {count - 1}")
        limits.check_shape(reference.text, tuple(shape))
        length = math.prod(shape) * self.dtype.itemsize
        self.stream.seek(self.start + number * length)
        data = self.stream.read(length)
        if len(data) != length:
            raise ImageError(reference.text, "the archive ends within this image", "copy the archive again")
        pixels = np.frombuffer(data, self.dtype).reshape(shape)
        if pixels.dtype == np.bool_:
            pixels = pixels.astype(np.uint8)
        pixels = pixels.astype(pixels.dtype.newbyteorder("="), copy=False)
        header = {
            "format": "npz",
            "mode": "grey",
            "bits": str(8 * self.dtype.itemsize),
            "file_bytes": str(length),
        }
        if len(self.shape) == 2:
            header[VECTOR] = "yes"
        if len(shape) > 2 and shape[-1] in (1, 3):
            header["mode"] = "RGB" if shape[-1] == 3 else "grey"
        else:
            pixels = pixels[..., np.newaxis]
        pixels = channels_first(pixels, header)
        if pixels.ndim > 4:
            raise ImageError(reference.text, f"an image of shape {tuple(shape)} is neither 2-D nor 3-D")
        refuse_non_finite(reference.text, pixels)
        header["rows"], header["columns"] = str(pixels.shape[-2]), str(pixels.shape[-1])
        spacing = self.spacing if len(self.spacing) == pixels.ndim - 1 else None
        return Image(pixels, Geometry(spacing), reference.text, digest_of(data), header=header)


def _spacing(archive: zipfile.ZipFile) -> tuple[float, ...]:
    """Millimetres along each axis of an archive's images; empty where it does not say."""
    if "spacing.npy" not in archive.namelist():
        return ()
    with archive.open("spacing.npy") as stream:
        shape, _, dtype = array_header("spacing", stream)
        if shape not in ((2,), (3,)) or dtype.kind not in "uif":
            return ()
        values = np.frombuffer(stream.read(shape[0] * dtype.itemsize), dtype)
    steps = tuple(float(value) for value in values)
    return steps if len(steps) == shape[0] and all(0 < step < math.inf for step in steps) else ()


_open_arrays: OrderedDict[tuple[str, int, int, str], _OpenArray] = OrderedDict()


def _open_array(reference: Reference, name: str) -> _OpenArray:
    state = reference.path.stat()
    key = (str(reference.path), state.st_mtime_ns, state.st_size, name)
    if key not in _open_arrays:
        _open_arrays[key] = _OpenArray(reference, name)
        while len(_open_arrays) > _MAX_OPEN:
            _open_arrays.popitem(last=False)[1].close()
    _open_arrays.move_to_end(key)
    return _open_arrays[key]

"""Damage to files that still gets past the first look: in packed parts too, with sums and lengths mended."""

from __future__ import annotations

import gzip
import io
import re
import struct
import warnings
import zipfile
import zlib
from collections.abc import Callable, Sequence

import numpy as np
import pydicom

Data = bytearray
Generator = np.random.Generator

_EXTREMES = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 1 << 62)
_NUMBERS = (b"0", b"-1", b"65535", b"2000000000", b"99999999999999", b"1e99", b"nan", b"-inf", b"1,5", b"")
_SYNTAXES = (
    *("1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.2"),
    *("1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51", "1.2.840.10008.1.2.4.57"),
    *("1.2.840.10008.1.2.4.70", "1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.81"),
    *("1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.91", "1.2.840.10008.1.2.5", "1.2.840.10008.1.2.4.201"),
)
_SHORT_FIELDS = (
    *("Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "SamplesPerPixel"),
    *("PixelRepresentation", "PlanarConfiguration", "SmallestImagePixelValue"),
)
_TEXT_FIELDS = (
    *("NumberOfFrames", "RescaleSlope", "RescaleIntercept", "WindowCenter", "WindowWidth", "PixelSpacing"),
    *("SliceThickness", "ImagePositionPatient", "ImageOrientationPatient", "InstanceNumber", "EchoNumbers"),
)
_PHOTOMETRIC = ("MONOCHROME1", "MONOCHROME2", "RGB", "YBR_FULL_422", "PALETTE COLOR", "YBR_RCT", "ODD")


def mutated(seed: bytes, others: Sequence[bytes], rng: Generator) -> bytes:
    """A damaged copy of `seed`; pieces of `others` may be put into it."""
    data = Data(seed)
    inner = _INNER.get(_kind(seed))
    while bytes(data) == seed:
        if inner is not None and rng.random() < 0.6:
            data = inner(data, others, rng)
        if inner is None or rng.random() < 0.4:
            for _ in range(int(rng.integers(1, 4))):
                data = _plain(data, others, rng)
    return bytes(data)


def _kind(data: bytes) -> str:
    starts = {
        b"\x89PNG": "png",
        b"PK\3\4": "npz",
        b"\x1f\x8b": "gzip",
        b"NRRD": "lines",
        b"ObjectType": "lines",
    }
    return (
        "dicom"
        if data[128:132] == b"DICM"
        else next((k for s, k in starts.items() if data.startswith(s)), "")
    )


def _plain(data: Data, others: Sequence[bytes], rng: Generator) -> Data:
    return _PLAIN[int(rng.integers(len(_PLAIN)))](data, others, rng)


def _place(data: Data, rng: Generator) -> int:
    """Somewhere in the file, in half of the cases where headers lie."""
    end = len(data) if rng.random() < 0.5 else min(len(data), 600)
    return int(rng.integers(max(1, end)))


def _flip(data: Data, others: Sequence[bytes], rng: Generator) -> Data:
    for _ in range(int(rng.integers(1, 9))):
        if data:
            data[_place(data, rng)] ^= 1 << int(rng.integers(8))
    return data


def _overwrite(data: Data, others: Sequence[bytes], rng: Generator) -> Data:
    at, length = _place(data, rng), int(rng.integers(1, 65))
    filled = (bytes(length), b"\xff" * length, rng.bytes(length))[int(rng.integers(3))]
    data[at : at + length] = filled[: len(data[at : at + length])]
    return data


def _cut(data: Data, others: Sequence[bytes], rng: Generator) -> Data:
    end = (b"", b"\xff\xd9", bytes(16))[int(rng.integers(3))]
    return data[: int(rng.integers(len(data) + 1))] + end


def _splice(data: Data, others: Sequence[bytes], rng: Generator) -> Data:
    other = others[int(rng.integers(len(others)))]
    at, start = _place(data, rng), int(rng.integers(max(1, len(other))))
    return data[:at] + other[start : start + int(rng.integers(1, 2000))] + data[at:]


def _extreme(data: Data, others: Sequence[bytes], rng: Generator) -> Data:
    width = int(rng.choice([1, 2, 4, 8]))
    value = _EXTREMES[int(rng.integers(len(_EXTREMES)))] % (1 << (8 * width))
    at = _place(data, rng) // 2 * 2
    data[at : at + width] = value.to_bytes(width, "little" if rng.random() < 0.6 else "big")
    return data


def _digits(data: Data, others: Sequence[bytes], rng: Generator) -> Data:
    """A number written as text becomes another, of the same length or not."""
    found = list(re.finditer(rb"-?\d+(\.\d+)?", bytes(data)))
    if not found:
        return data
    one = found[int(rng.integers(len(found)))]
    number = _NUMBERS[int(rng.integers(len(_NUMBERS)))]
    if rng.random() < 0.7:
        number = number[: len(one.group())].ljust(len(one.group()))
    return data[: one.start()] + number + data[one.end() :]


def _repeat(data: Data, others: Sequence[bytes], rng: Generator) -> Data:
    at, length = _place(data, rng), int(rng.integers(1, 400))
    return data[:at] + data[at : at + length] * int(rng.integers(2, 6)) + data[at + length :]


_PLAIN: tuple[Callable[[Data, Sequence[bytes], Generator], Data], ...] = (
    *(_flip, _overwrite, _cut, _splice, _extreme, _extreme, _digits, _repeat),
)


def _in_gzip(data: Data, others: Sequence[bytes], rng: Generator) -> Data:
    return Data(gzip.compress(bytes(_plain(Data(gzip.decompress(bytes(data))), others, rng)), 1, mtime=0))


def _in_npz(data: Data, others: Sequence[bytes], rng: Generator) -> Data:
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(bytes(data))) as old, zipfile.ZipFile(buffer, "w") as new:
        entries = old.infolist()
        chosen = int(rng.integers(len(entries)))
        for number, entry in enumerate(entries):
            content = Data(old.read(entry))
            if number == chosen:
                content = _plain(content, others, rng)
            new.writestr(zipfile.ZipInfo(entry.filename), bytes(content), entry.compress_type)
    return Data(buffer.getvalue())


def _in_png(data: Data, others: Sequence[bytes], rng: Generator) -> Data:
    """A chunk is changed, left out, doubled or unpacked and changed; every sum is right."""
    chunks, at = [], 8
    while at + 12 <= len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        chunks.append((bytes(data[at + 4 : at + 8]), Data(data[at + 8 : at + 8 + length])))
        at += 12 + length
    chosen = int(rng.integers(len(chunks)))
    kind, content = chunks[chosen]
    if kind == b"IDAT" and rng.random() < 0.7:
        content = Data(zlib.compress(bytes(_plain(Data(zlib.decompress(bytes(content))), others, rng))))
    elif rng.random() < 0.7:
        content = _extreme(content, others, rng) if kind == b"IHDR" else _plain(content, others, rng)
    copies = int(rng.choice([1, 1, 1, 1, 0, 2]))
    chunks[chosen : chosen + 1] = [(kind, content)] * copies
    out = Data(data[:8])
    for kind, content in chunks:
        out += struct.pack(">I", len(content)) + kind + content
        out += struct.pack(">I", zlib.crc32(kind + bytes(content)))
    return out


def _in_dicom(data: Data, others: Sequence[bytes], rng: Generator) -> Data:
    """A field of the header is changed, or the pixels; the data set is written as it should be."""
    with warnings.catch_warnings(), pydicom.config.disable_value_validation():
        warnings.simplefilter("ignore")
        try:
            dataset = pydicom.dcmread(io.BytesIO(bytes(data)), force=True)
            for _ in range(int(rng.integers(1, 3))):
                _change(dataset, others, rng)
            buffer = io.BytesIO()
            dataset.save_as(buffer)
            return Data(buffer.getvalue())
        except Exception:
            return _plain(data, others, rng)


def _change(dataset: pydicom.FileDataset, others: Sequence[bytes], rng: Generator) -> None:
    def one_of(values: Sequence[object]) -> object:
        return values[int(rng.integers(len(values)))]

    what = rng.random()
    if what < 0.4 and "PixelData" in dataset:
        pixels = Data(dataset.PixelData)
        at = int(rng.integers(max(1, len(pixels))))
        if rng.random() < 0.5:  # within the first fragment, where the codec's own header lies
            at = int(rng.integers(max(1, min(len(pixels), 120))))
        dataset.PixelData = bytes(pixels[:at] + _plain(pixels[at:], others, rng))
    elif what < 0.6:
        setattr(dataset, str(one_of(_SHORT_FIELDS)), int(str(one_of(_EXTREMES[:9]))))
    elif what < 0.8:
        number = bytes(one_of(_NUMBERS)).decode()  # type: ignore[call-overload]
        dataset.add_new(str(one_of(_TEXT_FIELDS)), "LO", number)
    elif what < 0.9:
        dataset.PhotometricInterpretation = str(one_of(_PHOTOMETRIC))
    else:
        dataset.file_meta.TransferSyntaxUID = pydicom.uid.UID(str(one_of(_SYNTAXES)))


def _in_lines(data: Data, others: Sequence[bytes], rng: Generator) -> Data:
    """A line of a header of text is changed, left out, doubled, or says another field's value or number."""
    end = data.find(b"\n\n") if data.startswith(b"NRRD") else data.find(b"LOCAL\n") + 5
    lines = bytes(data[:end]).split(b"\n")
    if len(lines) < 2:
        return _plain(data, others, rng)
    chosen, other = (int(rng.integers(1, len(lines))) for _ in range(2))
    mark = b": " if data.startswith(b"NRRD") else b" = "
    name, _, value = lines[chosen].partition(mark)
    changed = (
        bytes(_digits(Data(lines[chosen]), others, rng)),
        bytes(_flip(Data(lines[chosen]), others, rng)),
        name + mark + lines[other].partition(mark)[2],
        name + mark + value + b" " + _NUMBERS[int(rng.integers(len(_NUMBERS)))],
    )[int(rng.integers(4))]
    copies = int(rng.choice([1, 1, 1, 1, 0, 2]))
    return Data(b"\n".join([*lines[:chosen], *[changed] * copies, *lines[chosen + 1 :]]) + bytes(data[end:]))


_INNER: dict[str, Callable[[Data, Sequence[bytes], Generator], Data]] = {
    "gzip": _in_gzip,
    "lines": _in_lines,
    "npz": _in_npz,
    "png": _in_png,
    "dicom": _in_dicom,
}

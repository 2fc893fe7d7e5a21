"""Stored values of a DICOM file's frames, whatever their compression."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from secondread.images.dicom.dataset import text, value
from secondread.images.dicom.facts import modality_of
from secondread.images.dicom.frames import PIXEL_KEYWORDS, RLE, check_frame_count, is_encapsulated
from secondread.images.dicom.numbers import HeaderValueError, whole_number
from secondread.images.formats.jpeg_scan import check_jpeg, is_jpeg_ls
from secondread.images.image import ImageError
from secondread.images.limits import ReadLimits

if TYPE_CHECKING:
    from pydicom.filereader import FileDataset
    from pydicom.pixels.decoders.base import Decoder
    from pydicom.uid import UID

DEFLATED_FRAMES = "1.2.840.10008.1.2.8.1"
JPEG_EXTENDED = "1.2.840.10008.1.2.4.51"
_PHOTOMETRIC = {
    *("MONOCHROME1", "MONOCHROME2", "PALETTE COLOR", "RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT"),
    *("HSV", "ARGB", "CMYK", "YBR_PARTIAL_422", "YBR_PARTIAL_420"),
}
_JPEG_FAMILY = "1.2.840.10008.1.2.4."


def has_pixels(dataset: FileDataset) -> bool:
    """Whether the file holds pixels at all (reports, plans, structure sets and directories do not)."""
    return any(keyword in dataset for keyword in PIXEL_KEYWORDS)


def frame_count(dataset: FileDataset) -> int:
    """NumberOfFrames, 1 where the header leaves it out."""
    return max(1, whole_number(dataset, "NumberOfFrames", 1))


def stored_values(
    path: str, dataset: FileDataset, limits: ReadLimits, frame: int | None
) -> tuple[NDArray[np.generic], str]:
    """Frames as stored, `[frames, rows, columns, samples]`, and their photometric interpretation.

    YBR becomes RGB. Bits above BitsStored (old overlays) are masked; signs follow PixelRepresentation. With
    `frame` only that one is decoded. Raises ImageError, before decoding where the header already says too
    much.
    """
    if not has_pixels(dataset):
        what = modality_of(dataset) or "unknown modality"
        raise ImageError(path, f"a DICOM file without pixels ({what})", "leave it out of the manifest")
    if not any(value(dataset, keyword) for keyword in PIXEL_KEYWORDS):
        raise ImageError(path, "the element that should hold the pixels is empty", "export it again")
    rows = whole_number(dataset, "Rows")
    columns = whole_number(dataset, "Columns")
    samples = whole_number(dataset, "SamplesPerPixel", 1)
    frames = frame_count(dataset)
    if frame is not None and frame >= frames:
        raise ImageError(path, f"the file has frames 0 to {frames - 1}", "name one of these with #frame/N")
    wanted = frames if frame is None else 1
    limits.check_shape(path, (samples, wanted, rows, columns))
    _set_transfer_syntax(path, dataset)
    try:
        pixels, photometric = _decode(path, dataset, limits, frame, frames)
        return pixels.reshape(wanted, rows, columns, samples), photometric
    except (ImageError, HeaderValueError):
        raise
    except MemoryError as error:
        raise ImageError(path, "decoding needs more memory than is allowed") from error
    except Exception as error:
        why = "the compressed stream is damaged" if is_encapsulated(dataset) else "they are damaged"
        raise ImageError(
            path,
            f"the pixels cannot be decoded: {why}, or not what the header says of them",
            "export it again",
        ) from error


def _set_transfer_syntax(path: str, dataset: FileDataset) -> None:
    """Where the file meta header leaves the syntax out, take the one that the elements were read in."""
    from pydicom.dataset import FileMetaDataset
    from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

    if getattr(dataset, "file_meta", None) is None:
        dataset.file_meta = FileMetaDataset()
    if value(dataset.file_meta, "TransferSyntaxUID") is not None:
        return
    if "PixelData" in dataset and dataset["PixelData"].is_undefined_length:
        raise ImageError(path, "compressed pixels without a transfer syntax in the header", "export it again")
    implicit, little = dataset.original_encoding
    native = ExplicitVRLittleEndian if little else ExplicitVRBigEndian
    dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else native


def _decode(
    path: str, dataset: FileDataset, limits: ReadLimits, frame: int | None, frames: int
) -> tuple[NDArray[np.generic], str]:
    from pydicom.pixels import convert_color_space

    syntax = dataset.file_meta.TransferSyntaxUID
    allocated = whole_number(dataset, "BitsAllocated")
    if allocated != 1 and (allocated % 8 or not 8 <= allocated <= 64):
        raise HeaderValueError(f"BitsAllocated in the header is {allocated}; 1, 8, 16, 32 and 64 are read")
    stored = whole_number(dataset, "BitsStored", allocated)
    photometric = text(dataset, "PhotometricInterpretation").upper() or "MONOCHROME2"
    dataset.PhotometricInterpretation = photometric
    check_frame_count(dataset, frames, allocated)
    if str(syntax) == DEFLATED_FRAMES or (str(syntax) == RLE and allocated == 1):
        return _packed_frames(path, dataset, frame, frames, allocated, str(syntax)), photometric
    decoder = _decoder(path, syntax)
    if syntax.is_encapsulated:
        _check_codestream(path, dataset, limits)
        if str(syntax).startswith(_JPEG_FAMILY):
            _check_scans(path, dataset, frame, frames)
    elif photometric != "YBR_FULL_422":
        _check_length(path, dataset, frames, allocated)
    if str(syntax) == JPEG_EXTENDED and stored > 8:
        return _twelve_bit_jpeg(path, dataset, frame, frames), photometric
    high = whole_number(dataset, "HighBit", stored - 1)
    odd_place = high != stored - 1 and stored <= high < allocated and not syntax.is_encapsulated
    options = {"correct_unused_bits": False} if odd_place else {}
    _refuse_missing(dataset, photometric)
    pixels, facts = decoder.as_array(dataset, index=frame, **options)  # type: ignore[arg-type]
    photometric = str(facts.get("photometric_interpretation", photometric))
    if photometric in ("YBR_FULL", "YBR_FULL_422"):
        pixels, photometric = convert_color_space(pixels, photometric, "RGB"), "RGB"
    if odd_place:
        pixels = (pixels << (allocated - 1 - high)) >> (allocated - stored)
    return pixels.astype(pixels.dtype.newbyteorder("="), copy=False), photometric


def _refuse_missing(dataset: FileDataset, photometric: str) -> None:
    """What the meaning of stored values hangs on is not guessed; one sample per pixel is, as everywhere."""
    if photometric not in _PHOTOMETRIC:
        raise HeaderValueError("PhotometricInterpretation in the header is none of DICOM's terms")
    samples = whole_number(dataset, "SamplesPerPixel", 1)
    dataset.SamplesPerPixel = samples
    needed = ["BitsStored", "PixelRepresentation"] if "PixelData" in dataset else []
    if samples > 1 and not is_encapsulated(dataset):
        needed.append("PlanarConfiguration")
    for keyword in needed:
        if value(dataset, keyword) is None:
            raise HeaderValueError(f"{keyword} is missing from the header")


def _decoder(path: str, syntax: UID) -> Decoder:
    """The decoder of a transfer syntax. Raises ImageError where there is none, or no codec for it."""
    from pydicom.pixels import get_decoder
    from pydicom.uid import UID_dictionary

    named = f"the transfer syntax {syntax.name}" if syntax in UID_dictionary else "an unknown transfer syntax"
    try:
        decoder = get_decoder(syntax)
    except NotImplementedError as error:
        raise ImageError(path, f"{named} is not read", "export it uncompressed") from error
    if not decoder.is_available:
        raise ImageError(
            path, f"no installed codec reads {named}", "run `secondread doctor`, or export it uncompressed"
        )
    return decoder


def _encoded_frames(dataset: FileDataset, frame: int | None, frames: int) -> list[bytes]:
    from pydicom.encaps import generate_frames, get_frame

    if frame is not None:
        return [get_frame(dataset.PixelData, frame, number_of_frames=frames)]
    found = list(generate_frames(dataset.PixelData, number_of_frames=frames))
    if len(found) < frames:
        raise ValueError(f"{len(found)} of {frames} frames are in the file")
    return found[:frames]


def _packed_frames(
    path: str, dataset: FileDataset, frame: int | None, frames: int, allocated: int, syntax: str
) -> NDArray[np.generic]:
    """Frames that are deflated or run-length packed; one-bit pixels lie eight to a byte."""
    rows, columns = int(dataset.Rows), int(dataset.Columns)
    values = rows * columns * whole_number(dataset, "SamplesPerPixel", 1)
    length = (values * allocated + 7) // 8
    kind = "i" if whole_number(dataset, "PixelRepresentation", 0) else "u"
    out = []
    for encoded in _encoded_frames(dataset, frame, frames):
        if syntax == RLE:
            data = _unpack_run_lengths(encoded[64:], length)
        else:
            data = zlib.decompressobj(-zlib.MAX_WBITS).decompress(encoded, length)
        if len(data) < length:
            raise ValueError(f"a frame has {len(data)} of {length} bytes")
        if allocated == 1:
            bits = np.unpackbits(np.frombuffer(data, np.uint8), count=values, bitorder="little")
            out.append(bits)
        else:
            out.append(np.frombuffer(data, f"<{kind}{allocated // 8}", count=values))
    return np.concatenate(out)


def _unpack_run_lengths(encoded: bytes, length: int) -> bytes:
    """PackBits (PS3.5 annex G) of one segment, until `length` bytes are out."""
    out, at = bytearray(), 0
    while len(out) < length and at < len(encoded):
        control = encoded[at]
        if control < 128:
            out += encoded[at + 1 : at + 2 + control]
            at += control + 2
        elif control > 128:
            out += encoded[at + 1 : at + 2] * (257 - control)
            at += 2
        else:
            at += 1
    return bytes(out[:length])


def _twelve_bit_jpeg(path: str, dataset: FileDataset, frame: int | None, frames: int) -> NDArray[np.generic]:
    """12-bit lossy JPEG through GDCM itself, which reads it although pydicom does not ask it to."""
    import gdcm

    rows, columns = int(dataset.Rows), int(dataset.Columns)
    if whole_number(dataset, "SamplesPerPixel", 1) != 1:
        raise ImageError(path, "12-bit JPEG in colour is not read")
    signed = whole_number(dataset, "PixelRepresentation", 0)
    out = []
    for encoded in _encoded_frames(dataset, frame, frames):
        fragment = gdcm.Fragment()
        fragment.SetByteStringValue(encoded)
        fragments = gdcm.SequenceOfFragments.New()
        fragments.AddFragment(fragment)
        element = gdcm.DataElement(gdcm.Tag(0x7FE0, 0x0010))
        element.SetValue(fragments.__ref__())
        image = gdcm.Image()
        image.SetNumberOfDimensions(2)
        image.SetDimensions((columns, rows, 1))
        image.SetDataElement(element)
        grey = gdcm.PhotometricInterpretation.GetPIType("MONOCHROME2")
        image.SetPhotometricInterpretation(gdcm.PhotometricInterpretation(grey))
        image.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.GetTSType(JPEG_EXTENDED)))
        image.SetPixelFormat(gdcm.PixelFormat(1, 16, 12, 11, signed))
        buffer = image.GetBuffer()
        if not buffer:
            raise ImageError(path, "12-bit JPEG that GDCM cannot decode", "export it again")
        decoded = buffer.encode("utf-8", "surrogateescape") if isinstance(buffer, str) else bytes(buffer)
        out.append(np.frombuffer(decoded, "<i2" if signed else "<u2", count=rows * columns))
    return np.concatenate(out)


def _check_length(path: str, dataset: FileDataset, frames: int, allocated: int) -> None:
    """Refuse uncompressed pixels of which a part is missing."""
    values = int(dataset.Rows) * int(dataset.Columns) * frames * whole_number(dataset, "SamplesPerPixel", 1)
    expected = (values * allocated + 7) // 8
    found = max(len(value(dataset, keyword) or b"") for keyword in PIXEL_KEYWORDS)
    if found < expected:
        raise ImageError(path, f"truncated: {found:,} of {expected:,} bytes of pixels", "export it again")


def _check_codestream(path: str, dataset: FileDataset, limits: ReadLimits) -> None:
    """Codecs allocate by their own header: refuse a codestream far larger than the file's header says."""
    from pydicom.encaps import generate_fragments

    first = next((part for part in generate_fragments(dataset.PixelData) if len(part) > 16), b"")
    size = codestream_size(first)
    if size is None:
        return
    limits.check_shape(path, size)
    rows, columns = int(dataset.Rows), int(dataset.Columns)
    if size[0] * size[1] > 4 * rows * columns:
        raise ImageError(
            path,
            f"the compressed frame is {size[0]}×{size[1]}, the header says {rows}×{columns}",
            "export it again",
        )


def _check_scans(path: str, dataset: FileDataset, frame: int | None, frames: int) -> None:
    """Raise ImageError for a frame that is cut or damaged: most decoders fill up what is missing."""
    for encoded in _encoded_frames(dataset, frame, frames):
        if encoded[:2] == b"\xff\xd8" and not is_jpeg_ls(encoded):
            try:
                check_jpeg(encoded, most_pixels=4 * int(dataset.Rows) * int(dataset.Columns))
            except ValueError as error:
                problem = "a compressed frame is damaged or ends too early"
                raise ImageError(path, problem, "export it again") from error


def codestream_size(data: bytes) -> tuple[int, int] | None:
    """Rows and columns in a JPEG, JPEG-LS or JPEG 2000 header, None where there is none."""
    if data[:4] == b"\xff\x4f\xff\x51" and len(data) >= 24:
        x, y, left, top = (int.from_bytes(data[at : at + 4], "big") for at in (8, 12, 16, 20))
        return y - top, x - left
    at = 2 if data[:2] == b"\xff\xd8" else len(data)
    while at + 9 < len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:
            at += 1
        elif marker in (0xC0, 0xC1, 0xC2, 0xC3, 0xF7):
            return int.from_bytes(data[at + 5 : at + 7], "big"), int.from_bytes(data[at + 7 : at + 9], "big")
        else:
            at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return None

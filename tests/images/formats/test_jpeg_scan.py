from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image as Picture
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import JPEGBaseline8Bit

from secondread.images.formats.jpeg_scan import check_jpeg
from secondread.images.image import ImageError
from secondread.images.read import read_image

RNG = np.random.default_rng(0)
RAMP = np.add.outer(np.arange(96), np.arange(90)) / 2
COLOUR = np.stack([RAMP + RNG.integers(0, 60, RAMP.shape) for _ in range(3)], axis=-1).astype(np.uint8)


def encoded(pixels: np.ndarray, **options: object) -> bytes:
    buffer = io.BytesIO()
    mode = "CMYK" if pixels.ndim == 3 and pixels.shape[-1] == 4 else None
    Picture.fromarray(pixels, mode).save(buffer, "JPEG", quality=90, **options)
    return buffer.getvalue()


KINDS = {
    "grey": encoded(COLOUR[..., 0]),
    "colour": encoded(COLOUR),
    "progressive": encoded(COLOUR, progressive=True),
    "restarts": encoded(COLOUR, restart_marker_blocks=4),
    "cmyk": encoded(np.dstack([COLOUR, COLOUR[..., :1]])),
}
SCAN = b"\xff\xda"


def lossless(stored: np.ndarray) -> bytes:
    """A lossless JPEG (T.81 annex H) that predicts from the left, each difference with a code of 5 bits."""
    rows, columns = stored.shape
    values = stored.astype(int)
    predicted = np.empty_like(values)
    predicted[:, 1:] = values[:, :-1]
    predicted[1:, 0] = values[:-1, 0]
    predicted[0, 0] = 1 << 15
    bits = []
    for difference in (values - predicted).reshape(-1):
        size = int(abs(difference)).bit_length()
        extra = difference if difference >= 0 else difference + (1 << size) - 1
        bits.append(f"{size:05b}" + (f"{extra:0{size}b}" if size else ""))
    text = "".join(bits)
    text += "1" * (-len(text) % 8)
    packed = int(text, 2).to_bytes(len(text) // 8, "big").replace(b"\xff", b"\xff\x00")
    table = b"\x00" + bytes([0, 0, 0, 0, 17, *[0] * 11]) + bytes(range(17))
    frame = b"\x10" + rows.to_bytes(2, "big") + columns.to_bytes(2, "big") + b"\x01\x01\x11\x00"
    parts = [(0xC3, frame), (0xC4, table), (0xDA, b"\x01\x01\x00\x01\x00\x00")]
    header = b"".join(bytes([0xFF, m]) + (len(b) + 2).to_bytes(2, "big") + b for m, b in parts)
    return b"\xff\xd8" + header + packed + b"\xff\xd9"


def cut(stream: bytes, share: float) -> bytes:
    """The stream with this share of its compressed data, and an end marker as if it were whole."""
    first = stream.rfind(SCAN) if share > 0.5 else stream.find(SCAN)
    return stream[: first + 14 + int(share * (len(stream) - first - 16))] + b"\xff\xd9"


def zeroed(stream: bytes) -> bytes:
    middle = (stream.find(SCAN) + len(stream)) // 2
    return stream[:middle] + bytes(200) + stream[middle + 200 :]


def block_lost(stream: bytes) -> bytes:
    middle = (stream.find(SCAN) + len(stream)) // 2
    return stream[:middle] + stream[middle + 400 :]


@pytest.mark.parametrize("kind", [*KINDS, "lossless"])
def test_a_whole_jpeg_is_let_through(kind: str) -> None:
    check_jpeg(KINDS[kind] if kind != "lossless" else lossless(COLOUR[..., 0].astype(np.uint16) * 200))


@pytest.mark.parametrize("kind", [*KINDS, "lossless"])
def test_part_of_a_jpeg_is_refused_although_it_has_an_end_marker(kind: str) -> None:
    whole = KINDS[kind] if kind != "lossless" else lossless(COLOUR[..., 0].astype(np.uint16) * 200)
    for damaged in (cut(whole, 0.0), cut(whole, 0.4), cut(whole, 0.95), zeroed(whole), block_lost(whole)):
        with pytest.raises(ValueError, match=r"Corrupt JPEG data|Premature end|between two segments"):
            check_jpeg(damaged)


def test_a_jpeg_without_its_end_marker_or_with_a_wrong_height_is_refused() -> None:
    whole = KINDS["grey"]
    with pytest.raises(ValueError, match="Premature end"):
        check_jpeg(whole[:-2])
    at = whole.find(b"\xff\xc0") + 5
    for rows in (200, 40):
        with pytest.raises(ValueError, match="Corrupt"):
            check_jpeg(whole[:at] + rows.to_bytes(2, "big") + whole[at + 2 :])


def test_a_frame_of_many_more_pixels_than_expected_is_refused_before_it_is_decoded() -> None:
    whole = KINDS["grey"]
    at = whole.find(b"\xff\xc0") + 5
    with pytest.raises(ValueError, match="a JPEG of 3,600,000,000 pixels"):
        check_jpeg(whole[:at] + b"\xea\x60\xea\x60" + whole[at + 4 :])
    with pytest.raises(ValueError, match="at most 100 are expected"):
        check_jpeg(whole, most_pixels=100)


def test_padding_before_the_end_marker_and_bytes_behind_it_do_no_harm() -> None:
    check_jpeg(KINDS["grey"][:-2] + b"\xff\xff\xd9")
    check_jpeg(KINDS["grey"][:-2] + b"\0\0\xff\xd9" + b"trailer")


def test_bytes_between_segments_are_refused_before_a_decoder_stumbles_over_them() -> None:
    whole = KINDS["grey"]
    at = whole.find(b"\xff\xdb")
    with pytest.raises(ValueError, match="bytes between two segments"):
        check_jpeg(whole[:at] + b"abc" + whole[at:])


@pytest.mark.parametrize("damage", [lambda s: cut(s, 0.5), zeroed, block_lost], ids=["cut", "zeroed", "lost"])
def test_a_jpeg_file_that_decoders_fill_up_with_grey_is_refused(
    tmp_path: Path, damage: Callable[[bytes], bytes]
) -> None:
    for kind, whole in KINDS.items():
        path = tmp_path / f"{kind}.jpg"
        path.write_bytes(damage(whole))
        with pytest.raises(ImageError, match="a JPEG that cannot be decoded"):
            read_image(path)


def compressed(make_dicom: Callable[..., Path], frames: list[bytes]) -> Path:
    pixels = COLOUR[..., 0] if len(frames) == 1 else np.stack([COLOUR[..., 0]] * len(frames))
    path = make_dicom(pixels)
    dataset = pydicom.dcmread(path)
    dataset.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    dataset.PixelData = encapsulate(frames)
    dataset["PixelData"].is_undefined_length = True
    dataset.save_as(path)
    return path


def test_part_of_a_jpeg_inside_a_dicom_file_is_refused(make_dicom: Callable[..., Path]) -> None:
    whole = KINDS["grey"]
    assert read_image(compressed(make_dicom, [whole, whole])).size == (2, 96, 90)
    path = compressed(make_dicom, [whole, cut(whole, 0.5)])
    with pytest.raises(ImageError, match="ends too early"):
        read_image(path)
    assert read_image(f"{path}#frame/0").size == (96, 90)
    with pytest.raises(ImageError, match="ends too early"):
        read_image(f"{path}#frame/1")


def test_every_real_jpeg_is_let_through(shared_data: Path) -> None:
    for path in sorted((shared_data / "kermany-cxr").rglob("*.jp*g"))[::100]:
        check_jpeg(path.read_bytes())
    for path in sorted((shared_data / "dicom-zoo").rglob("*JPLL*")):
        dataset = pydicom.dcmread(path)
        for frame in generate_frames(dataset.PixelData, number_of_frames=1):
            check_jpeg(frame)

"""Clips: each frame by its number, in its own colours, and when it was taken."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from made_clips import clip_dataset, write_clip, write_jpeg_clip
from pydicom import Dataset
from pydicom.pixels import convert_color_space
from pydicom.sequence import Sequence

from secondread.images import kept_file
from secondread.images.dicom.times import frame_times
from secondread.images.image import ImageError
from secondread.images.read import read_image
from secondread.images.read_header import read_header

GREY = np.random.default_rng(0).integers(0, 256, (5, 12, 16), dtype=np.uint8)
SMOOTH = np.add.outer(np.arange(5) * 20, np.add.outer(np.arange(16) * 4, np.arange(24) * 3)).astype(np.uint8)


def test_a_frame_is_a_picture_with_its_own_pixels(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.dcm", GREY)
    for number in (0, 3, 4, 1):
        np.testing.assert_array_equal(read_image(f"{path}#frame/{number}").pixels[0], GREY[number])


def test_colour_is_read_as_it_was_stored(tmp_path: Path) -> None:
    colour = np.random.default_rng(1).integers(0, 256, (3, 8, 10, 3), dtype=np.uint8)
    rgb = write_clip(tmp_path / "rgb.dcm", colour)
    planes = write_clip(tmp_path / "planes.dcm", np.moveaxis(colour, -1, 1).reshape(colour.shape),
                        PlanarConfiguration=1)  # fmt: skip
    ybr = write_clip(tmp_path / "ybr.dcm", convert_color_space(colour, "RGB", "YBR_FULL"),
                     PhotometricInterpretation="YBR_FULL")  # fmt: skip
    wanted = np.moveaxis(colour[2], -1, 0)
    np.testing.assert_array_equal(read_image(f"{rgb}#frame/2").pixels, wanted)
    np.testing.assert_array_equal(read_image(f"{planes}#frame/2").pixels, wanted)
    assert np.abs(read_image(f"{ybr}#frame/2").pixels.astype(int) - wanted).max() <= 2


def test_half_resolution_colour_is_read_as_it_was_stored(tmp_path: Path) -> None:
    """YBR_FULL_422 without compression: Y Y Cb Cr of two neighbours (PS3.3 C.7.6.3.1.2)."""
    colour = np.repeat(np.random.default_rng(2).integers(0, 256, (2, 4, 3, 3), dtype=np.uint8), 2, axis=2)
    full = convert_color_space(colour, "RGB", "YBR_FULL")
    pairs = np.stack([full[..., ::2, 0], full[..., 1::2, 0], full[..., ::2, 1], full[..., ::2, 2]], axis=-1)
    dataset = clip_dataset(colour, PhotometricInterpretation="YBR_FULL_422")
    dataset.PixelData = np.ascontiguousarray(pairs).tobytes()
    dataset.save_as(tmp_path / "half.dcm", enforce_file_format=True)
    found = read_image(f"{tmp_path / 'half.dcm'}#frame/1").pixels
    assert np.abs(found.astype(int) - np.moveaxis(colour[1], -1, 0)).max() <= 2


def test_jpeg_frames_are_read_and_a_broken_one_costs_itself(tmp_path: Path) -> None:
    colour = np.stack([SMOOTH, 255 - SMOOTH, SMOOTH // 2], axis=-1)
    path = write_jpeg_clip(tmp_path / "clip.dcm", colour, broken=2)
    for number in (1, 3):
        found = read_image(f"{path}#frame/{number}").pixels.astype(int)
        assert np.abs(found - np.moveaxis(colour[number], -1, 0)).max() < 16
    with pytest.raises(ImageError, match="damaged or ends too early"):
        read_image(f"{path}#frame/2")
    assert read_image(f"{path}#frame/4").pixels.shape == (3, 16, 24)


def test_a_frame_beyond_the_last_is_refused_with_those_there_are(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.dcm", GREY)
    with pytest.raises(ImageError, match=r"frames 0 to 4; name one of these with #frame/N"):
        read_image(f"{path}#frame/5")


def test_a_clip_of_one_frame_is_a_picture(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "still.dcm", GREY[:1])
    assert read_image(path).size == read_image(f"{path}#frame/0").size == (12, 16)


def test_a_file_is_read_once_for_all_its_frames_and_again_when_it_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_clip(tmp_path / "clip.dcm", GREY)
    reads: list[Path] = []
    whole = Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda self: reads.append(self) or whole(self))
    kept_file.let_go()
    first = [read_image(f"{path}#frame/{number}").digest for number in range(5)]
    assert len(reads) == 1
    assert set(first) == {read_image(path).digest}
    write_clip(path, GREY[::-1])
    np.testing.assert_array_equal(read_image(f"{path}#frame/0").pixels[0], GREY[4])
    assert read_image(f"{path}#frame/0").digest not in first


@pytest.mark.parametrize(
    ("elements", "expected"),
    [
        ({"FrameTime": 40}, (0, 0.04, 0.08, 0.12)),
        ({"FrameTime": None, "FrameTimeVector": [0, 30, 50, 20]}, (0, 0.03, 0.08, 0.1)),
        ({"FrameTime": 40, "FrameTimeVector": [0, 10, 10, 10]}, (0, 0.01, 0.02, 0.03)),
        ({"FrameTime": None, "CineRate": 20}, (0, 0.05, 0.1, 0.15)),
        ({"FrameTime": 0, "RecommendedDisplayFrameRate": 10}, (0, 0.1, 0.2, 0.3)),
        ({"FrameTime": None, "FrameTimeVector": [0, 30]}, ()),
        ({"FrameTime": None}, ()),
        ({"FrameTime": -5}, ()),
    ],
)
def test_the_header_says_when_each_frame_was_taken(elements: dict, expected: tuple) -> None:
    assert frame_times(clip_dataset(GREY[:4], **elements), 4) == pytest.approx(expected)


def test_frames_with_dates_of_their_own_are_timed_from_the_first() -> None:
    dataset = clip_dataset(GREY[:3], FrameTime=None)
    frames = []
    for second in ("58.5", "59.0", "60"):
        when = "2024" + "0229" + "2359" + second if second != "60" else "20240301000000"
        content = Dataset()
        content.FrameReferenceDateTime = when
        frames.append(Dataset())
        frames[-1].FrameContentSequence = Sequence([content])
    dataset.PerFrameFunctionalGroupsSequence = Sequence(frames)
    assert frame_times(dataset, 3) == (0.0, 0.5, 1.5)


def test_a_time_that_is_no_number_refuses_no_file(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.dcm", GREY, FrameTime=None, RecommendedDisplayFrameRate=25)
    data = path.read_bytes().replace(b"IS\x02\x0025", b"IS\x02\x00xx")
    path.write_bytes(data)
    assert read_header(path).frame_times == ()
    assert read_image(f"{path}#frame/1").size == (12, 16)

"""Clips and folders of frames in a manifest: one study each, every frame with its number and time."""

import numpy as np
import pytest
import tifffile
from PIL import Image

from cohorts.dicom_files import write_dicom
from images.dicom.made_clips import PATIENT, SERIES, STUDY, write_clip
from secondread.cohorts.listing.identities import keyed_hash, read_key
from secondread.cohorts.listing.index import index
from secondread.cohorts.manifest import Manifest
from secondread.cohorts.row import Row
from secondread.cohorts.sequences import frames_of
from secondread.errors import UserError
from secondread.images.read import read_image

FRAMES = np.random.default_rng(0).integers(0, 256, (6, 8, 10), dtype=np.uint8)


def listed(tmp_path, **options):
    return index(tmp_path / "src", manifest_path=tmp_path / "out" / "m.csv", workers=0, **options)


def write_frames(folder, names):
    folder.mkdir(parents=True, exist_ok=True)
    for name, frame in zip(names, FRAMES, strict=False):
        Image.fromarray(frame).save(folder / name)


def test_each_frame_of_a_clip_is_an_image_of_its_study_with_its_time(tmp_path):
    write_clip(tmp_path / "src" / "clip.dcm", FRAMES)
    found = listed(tmp_path)
    key = read_key(found.key_path)
    rows = found.manifest.rows
    assert [row.path for row in rows] == [f"clip.dcm#frame/{number}" for number in range(6)]
    assert {row.study_id for row in rows} == {keyed_hash(key, "study", STUDY)}
    assert {row.patient_id for row in rows} == {keyed_hash(key, "patient", PATIENT)}
    assert [row.extra["frame"] for row in rows] == list("012345")
    assert [row.extra["time_s"] for row in rows] == ["0", "0.04", "0.08", "0.12", "0.16", "0.2"]


def test_every_third_frame_keeps_its_own_number(tmp_path):
    write_clip(tmp_path / "src" / "clip.dcm", FRAMES, FrameTime=None)
    rows = listed(tmp_path, every=3).manifest.rows
    assert [row.path for row in rows] == ["clip.dcm#frame/0", "clip.dcm#frame/3"]
    assert [row.extra for row in rows] == [{"modality": "US", "frame": number} for number in ("0", "3")]
    with pytest.raises(UserError, match="give 1 for all"):
        listed(tmp_path, every=0)


def test_a_clip_without_a_study_has_its_series_as_one_and_without_both_its_file(tmp_path):
    write_clip(tmp_path / "src" / "a.dcm", FRAMES, StudyInstanceUID=None)
    write_clip(tmp_path / "src" / "b.dcm", FRAMES, StudyInstanceUID=None, SeriesInstanceUID=None)
    found = listed(tmp_path)
    expected = keyed_hash(read_key(found.key_path), "study", SERIES)
    assert [row.study_id for row in found.manifest.rows] == [expected] * 6 + ["b.dcm"] * 6


def test_a_clip_of_one_frame_is_one_picture(tmp_path):
    write_clip(tmp_path / "src" / "still.dcm", FRAMES[:1])
    (row,) = listed(tmp_path).manifest.rows
    assert row.path == "still.dcm"
    assert "frame" not in row.extra


def test_an_enhanced_volume_is_one_row_and_its_frames_when_images_are_asked_for(tmp_path):
    write_dicom(tmp_path / "src" / "ct.dcm", frames=3, ImagePositionPatient=None)
    assert [row.path for row in listed(tmp_path).manifest.rows] == ["ct.dcm"]
    rows = listed(tmp_path, as_images=True).manifest.rows
    assert [row.path for row in rows] == [f"ct.dcm#frame/{number}" for number in range(3)]


def test_a_tiff_is_one_volume_and_its_pages_with_their_masks_when_images_are_asked_for(tmp_path):
    (tmp_path / "src" / "images").mkdir(parents=True)
    (tmp_path / "src" / "masks").mkdir()
    tifffile.imwrite(
        tmp_path / "src" / "images" / "clip.tif", FRAMES, photometric="minisblack", metadata=None
    )
    tifffile.imwrite(
        tmp_path / "src" / "masks" / "clip.tif", FRAMES // 255, photometric="minisblack", metadata=None
    )
    assert [row.path for row in listed(tmp_path).manifest.rows] == ["images/clip.tif"]
    found = listed(tmp_path, as_images=True, every=2).manifest
    assert [(row.path, row.mask, row.study_id) for row in found.rows] == [
        (f"images/clip.tif#frame/{n}", f"masks/clip.tif#frame/{n}", "images/clip.tif") for n in (0, 2, 4)
    ]
    np.testing.assert_array_equal(read_image(found.reference(found.rows[1])).pixels[0], FRAMES[2])
    moved = Manifest.read(found.write(tmp_path / "elsewhere" / "m.csv"))
    mask = read_image(moved.mask_reference(moved.rows[1]) or "")
    np.testing.assert_array_equal(mask.pixels[0], FRAMES[2] // 255)


def test_the_pictures_of_a_folder_are_one_sequence_in_the_order_of_their_numbers(tmp_path):
    write_frames(tmp_path / "src" / "test" / "p1", ["10.png", "9.png", "2.png"])
    write_frames(tmp_path / "src" / "test" / "p2", ["alone.png"])
    plain = listed(tmp_path).manifest.rows
    assert not any(row.study_id or "frame" in row.extra for row in plain)
    rows = listed(tmp_path, folders_as_sequences=True).manifest.rows
    assert [(row.path, row.study_id, row.extra.get("frame")) for row in rows] == [
        ("test/p1/2.png", "test/p1", "0"),
        ("test/p1/9.png", "test/p1", "1"),
        ("test/p1/10.png", "test/p1", "2"),
        ("test/p2/alone.png", "", None),
    ]
    assert {row.split for row in rows} == {"test"}
    fewer = listed(tmp_path, folders_as_sequences=True, every=2).manifest.rows
    assert [row.extra["frame"] for row in fewer[:2]] == ["0", "2"]


def test_a_manifest_tells_frames_by_its_column_by_the_path_or_by_numbered_names_of_one_study():
    rows = [
        Row("a/7.png", study_id="s", extra={"frame": "3"}),
        Row("b.dcm#frame/12"),
        *(Row(f"c/img{number}.png", study_id="t") for number in (10, 8, 9)),
        *(Row(f"d/img{number}.png") for number in (1, 2, 3)),
        *(Row(f"e/slice{number}.dcm", study_id="u") for number in (1, 2, 3)),
        *(Row(f"f/{name}.png", study_id="v") for name in ("frontal1", "lateral2", "frontal3")),
        Row("g.png", extra={"frame": "third"}),
    ]
    assert frames_of(rows) == [3, 12, 2, 0, 1, *[None] * 10]

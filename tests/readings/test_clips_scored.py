"""A clip from its file to readings: fitted on frames, scored frame by frame, judged as one study."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Picture
from scipy.ndimage import gaussian_filter

from cohorts.dicom_files import write_series
from images.dicom.made_clips import write_clip, write_jpeg_clip
from secondread.bundles.bundle import Bundle
from secondread.cohorts.listing.index import index
from secondread.cohorts.manifest import Manifest
from secondread.errors import UserError
from secondread.fitting.fit import fit
from secondread.images.image import ImageError
from secondread.images.read import read_image
from secondread.preprocessing.preprocessing import Preprocessing
from secondread.preprocessing.preprocessing_settings import PreprocessingSettings
from secondread.readings.inputs import gather
from secondread.readings.readings import Readings
from secondread.readings.score import score
from secondread.readings.score_into import score_into
from secondread.recipes.recipe import Recipe


def moving(seed: int, frames: int = 6, *, spot: int | None = None) -> np.ndarray:
    """A smooth picture that drifts; in frame `spot` with a bright square."""
    random = np.random.default_rng(seed)
    base = gaussian_filter(random.normal(size=(40, 40)), 4)
    clip = np.stack([np.roll(base, number, axis=1) for number in range(frames)])
    clip = 90 + 60 * clip / np.abs(clip).max() + random.normal(size=clip.shape)
    if spot is not None:
        clip[spot, 15:25, 15:25] = 250
    return np.clip(clip, 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    folder = tmp_path_factory.mktemp("clips")
    for number in range(14):
        write_clip(
            folder / "train" / "normal" / f"{number}.dcm",
            moving(number),
            PatientID=f"P{number}",
            StudyInstanceUID=f"1.2.{number}",
        )
    manifest = index(folder, manifest_path=folder / "m.csv", every=2, workers=0).manifest
    recipe = Recipe.from_mapping(
        {
            "preprocessing": {"size": [24, 24]},
            "detector": {"name": "pixel-1nn"},
            "cohorts": {"validation": 0.2, "calibration": 0.4},
        }
    )
    return fit(recipe, manifest, folder / "bundle", workers=0, device="cpu", progress=False)


def test_a_clip_alone_is_scored_frame_by_frame_and_judged_as_one_study(
    bundle: Bundle, tmp_path: Path
) -> None:
    path = write_clip(tmp_path / "clip.dcm", moving(99, spot=4))
    summary = score_into(bundle, str(path), tmp_path / "out", workers=1)
    assert (summary.scored, summary.failed) == (6, ())
    readings = Readings.read(tmp_path / "out")
    assert [row.path for row in readings.rows] == [f"{path}#frame/{number}" for number in range(6)]
    assert [row.frame for row in readings.rows] == list(range(6))
    assert [row.time_s for row in readings.rows] == pytest.approx([0, 0.04, 0.08, 0.12, 0.16, 0.2])
    assert len({row.study_id for row in readings.rows}) == 1
    scores = [row.score for row in readings.rows]
    assert int(np.argmax(scores)) == 4
    ((worst, study),) = readings.studies.items()
    assert worst == f"{path}#frame/4"
    assert study.score == max(scores)
    assert study.p_value is not None


def test_a_folder_and_a_manifest_give_the_readings_of_the_file(bundle: Bundle, tmp_path: Path) -> None:
    path = write_clip(tmp_path / "src" / "clip.dcm", moving(99))
    alone = score(bundle, str(path), every=2, workers=0)
    folder = score(bundle, str(tmp_path / "src"), every=2, workers=0)
    listed = index(tmp_path / "src", manifest_path=tmp_path / "m.csv", every=2, workers=0).manifest
    named = score(bundle, Manifest.read(listed.write(tmp_path / "m.csv")), workers=0)
    one = score(bundle, f"{path}#frame/2", workers=0)
    assert [row.score for row in alone.rows] == [row.score for row in folder.rows]
    assert [(row.score, row.frame, row.time_s) for row in alone.rows] == [
        (row.score, row.frame, row.time_s) for row in named.rows
    ]
    assert [row.frame for row in alone.rows] == [0, 2, 4]
    assert one.rows[0].frame == 2
    assert one.rows[0].score == alone.rows[1].score


def test_a_broken_frame_costs_its_row_and_not_the_clip(bundle: Bundle, tmp_path: Path) -> None:
    path = write_jpeg_clip(tmp_path / "clip.dcm", moving(99), broken=3)
    rows = score(bundle, str(path), workers=0).rows
    assert [row.failed for row in rows] == [number == 3 for number in range(6)]
    assert rows[3].frame == 3
    assert rows[3].study_id == rows[0].study_id != ""
    assert "ends too early" in rows[3].error


def test_a_frame_beyond_the_last_is_a_row_that_says_so(bundle: Bundle, tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.dcm", moving(99))
    (row,) = score(bundle, f"{path}#frame/6", workers=0).rows
    assert "the file has frames 0 to 5" in row.error


def test_a_folder_of_frames_is_scored_as_one_study_where_that_is_asked_for(
    bundle: Bundle, tmp_path: Path
) -> None:
    folder = tmp_path / "p1"
    folder.mkdir()
    for number, frame in zip((8, 9, 10), moving(99, 3), strict=True):
        Picture.fromarray(frame).save(folder / f"{number}.png")
    asked = score(bundle, str(folder), folders_as_sequences=True, workers=0)
    assert [(Path(row.path).name, row.frame, row.study_id) for row in asked.rows] == [
        ("8.png", 0, "p1"),
        ("9.png", 1, "p1"),
        ("10.png", 2, "p1"),
    ]
    plain = score(bundle, str(folder), workers=0)
    assert {(row.frame, row.study_id) for row in plain.rows} == {(None, "")}


def test_a_recipe_for_volumes_says_what_to_do_with_a_clip(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "src" / "clip.dcm", moving(99))
    for source in (path, tmp_path / "src"):
        (item,) = gather(str(source), rank=3, workers=0).items
        assert item.path.endswith("clip.dcm")
    volumes = Preprocessing(PreprocessingSettings(size=(4, 24, 24)))
    with pytest.raises(ImageError, match=r"6 frames follow one another in time.*a recipe for pictures"):
        volumes.apply(read_image(path))
    pictures = Preprocessing(PreprocessingSettings(size=(24, 24)))
    with pytest.raises(ImageError, match=r"name its frames one by one.*#frame/N"):
        pictures.apply(read_image(path))


def test_slices_in_a_folder_are_images_for_a_recipe_for_pictures_and_a_volume_for_the_others(
    tmp_path: Path,
) -> None:
    write_series(tmp_path / "ct", count=3)
    pictures = gather(str(tmp_path), rank=2, workers=0).items
    assert [Path(item.path).name for item in pictures] == ["0.dcm", "1.dcm", "2.dcm"]
    assert {item.frame for item in pictures} == {None}
    for rank in (0, 3):
        (volume,) = gather(str(tmp_path), rank=rank, workers=0).items
        assert "ct#" in volume.path


def test_a_table_goes_on_with_frames_though_it_began_without(bundle: Bundle, tmp_path: Path) -> None:
    Picture.fromarray(moving(98, 1)[0]).save(tmp_path / "still.png")
    path = write_clip(tmp_path / "clip.dcm", moving(99, 2))
    out = tmp_path / "out"
    score_into(bundle, str((tmp_path / "still.png").absolute()), out, workers=0)
    assert "frame" not in (out / "readings.csv").read_text().partition("\n")[0]
    score_into(bundle, str(path.absolute()), out, workers=0)
    score_into(bundle, str((tmp_path / "still.png").absolute()), out, workers=0)
    with (out / "readings.csv").open(newline="") as file:
        assert [row["frame"] for row in csv.DictReader(file)] == ["", "0", "1"]


def test_conditions_are_for_manifests_and_folders(bundle: Bundle, tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.dcm", moving(99, 2))
    with pytest.raises(UserError, match="--where filters rows"):
        score(bundle, str(path), where=["frame=1"], workers=0)

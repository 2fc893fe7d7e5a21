"""A folder of readings after a kill, a changed file, a second scorer and a map that cannot be written."""

from __future__ import annotations

import csv
import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Picture

from secondread.bundles.bundle import Bundle
from secondread.cohorts.manifest import Manifest
from secondread.cohorts.row import Row
from secondread.errors import UserError
from secondread.outputs.folders import output_folder
from secondread.outputs.whole import LONGEST_NAME
from secondread.preprocessing.placement import Placement
from secondread.readings import score_into as scoring
from secondread.readings.maps import file_stem
from secondread.readings.pipeline import Result
from secondread.readings.readings import Readings
from secondread.readings.score_into import score_into


@pytest.fixture
def films(phantoms: Manifest, tmp_path: Path) -> Manifest:
    """Four films of its own that a test may change."""
    rows = phantoms.where("split=test").rows[:4]
    for row in rows:
        (tmp_path / "films" / row.path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(phantoms.reference(row), tmp_path / "films" / row.path)
    return Manifest(tuple(replace(row, mask="") for row in rows), tmp_path / "films")


def lines(out: Path) -> list[str]:
    return (out / "readings.csv").read_text().splitlines()


@pytest.mark.parametrize(
    "gone", [["run.json"], ["run.json", "facts.jsonl"], ["facts.jsonl"], ["studies.csv"]]
)
def test_the_same_command_goes_on_whatever_a_kill_left(
    fitted: Bundle, films: Manifest, tmp_path: Path, gone: list[str]
) -> None:
    out = tmp_path / "out"
    score_into(fitted, films, out, workers=0)
    before = lines(out)
    for name in gone:
        (out / name).unlink(missing_ok=True)
    summary = score_into(fitted, films, out, workers=0)
    assert summary.scored == (4 if len(gone) == 2 else 0)
    assert sorted(lines(out)) == sorted(before)
    assert json.loads((out / "run.json").read_text())["finished"]


def test_a_kill_before_the_first_row_leaves_a_folder_that_goes_on(
    fitted: Bundle, films: Manifest, tmp_path: Path
) -> None:
    for name in ("readings.csv", "readings.csv.key"):
        out = tmp_path / name.replace(".", "-")
        out.mkdir()
        (out / name).write_text("")
        (out / ".readings.csv.17.writing").write_text("path,dig")
        if name.endswith(".key"):
            (out / name).unlink()
        assert score_into(fitted, films, out, workers=0).scored == 4
        assert not [path for path in out.iterdir() if path.name.startswith(".")]


def test_rows_of_another_bundle_are_known_without_the_record(
    fitted: Bundle, films: Manifest, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    score_into(fitted, films, out, workers=0)
    (out / "run.json").unlink()
    before = lines(out)
    with pytest.raises(UserError, match="another bundle"):
        score_into(replace(fitted, digest="f" * 64), films, out, workers=0)
    assert lines(out) == before


@pytest.mark.parametrize("same_times", [False, True])
def test_a_file_replaced_under_the_same_name_is_read_again(
    fitted: Bundle, films: Manifest, tmp_path: Path, same_times: bool
) -> None:
    out = tmp_path / "out"
    score_into(fitted, films, out, workers=0)
    before = {row.path: row for row in Readings.read(out).rows}
    changed, other = films.rows[0], films.rows[1]
    file = Path(films.reference(changed))
    times = file.stat()
    file.write_bytes(Path(films.reference(other)).read_bytes())
    if same_times:
        os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    summary = score_into(fitted, films, out, workers=0)
    after = {row.path: row for row in Readings.read(out).rows}
    assert (summary.scored, summary.earlier) == (1, 3)
    assert len(lines(out)) == 5
    assert after[changed.path].digest == before[other.path].digest
    assert after[changed.path].score == pytest.approx(before[other.path].score or 0.0, rel=1e-4)


def test_a_file_that_only_looks_changed_is_not_read_again(
    fitted: Bundle, films: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    score_into(fitted, films, out, workers=0)
    for row in films.rows:
        os.utime(films.reference(row), ns=(1, 1))
    assert score_into(fitted, films, out, workers=0).scored == 0
    looked_at = []
    monkeypatch.setattr(scoring.Files, "_digest", lambda self, path: looked_at.append(path))
    assert score_into(fitted, films, out, workers=0).scored == 0
    assert not looked_at


def test_a_reading_of_a_file_that_is_gone_stays(fitted: Bundle, films: Manifest, tmp_path: Path) -> None:
    out = tmp_path / "out"
    score_into(fitted, films, out, workers=0)
    Path(films.reference(films.rows[0])).unlink()
    assert score_into(fitted, films, out, workers=0).earlier == 4


def test_an_image_of_an_archive_that_changed_is_read_again(fitted: Bundle, tmp_path: Path) -> None:
    archive, out = tmp_path / "a.npz", tmp_path / "out"
    images = np.random.default_rng(0).integers(0, 255, (3, 40, 40), dtype=np.uint8)
    np.savez(archive, test_images=images)
    score_into(fitted, [str(archive)], out, workers=0)
    before = [row.digest for row in Readings.read(out).rows]
    images[1] = images[1][::-1]
    np.savez(archive, test_images=images)
    score_into(fitted, [str(archive)], out, workers=0)
    after = {row.path: row.digest for row in Readings.read(out).rows}
    assert [digest in before for _, digest in sorted(after.items())] == [True, False, True]


def test_two_scorers_in_one_folder_are_kept_apart(fitted: Bundle, films: Manifest, tmp_path: Path) -> None:
    with output_folder(tmp_path / "out", "score"), pytest.raises(UserError, match="another run is at work"):
        score_into(fitted, films, tmp_path / "out", workers=0)
    assert score_into(fitted, films, tmp_path / "out", workers=0).scored == 4


def test_readings_are_not_written_into_another_commands_folder(
    fitted: Bundle, films: Manifest, tmp_path: Path
) -> None:
    (tmp_path / "report").mkdir()
    (tmp_path / "report" / "run.json").write_text('{"made_by": "evaluate"}')
    with pytest.raises(UserError, match="is the output of `evaluate`"):
        score_into(fitted, films, tmp_path / "report", workers=0)


def test_readings_and_their_folder_are_for_their_owner_alone(
    fitted: Bundle, films: Manifest, tmp_path: Path
) -> None:
    score_into(fitted, films, tmp_path / "out", workers=0)
    assert (tmp_path / "out").stat().st_mode & 0o777 == 0o700
    for path in (tmp_path / "out").iterdir():
        assert path.stat().st_mode & 0o077 == 0, path


@pytest.mark.parametrize(
    "name", ["é" * 124 + ".png", "a" * 251 + ".png", "骨" * 80 + ".png", "a/" * 90 + "b"]
)
def test_maps_of_long_names_fit_into_a_file_system(name: str) -> None:
    stem = file_stem(name)
    assert stem == file_stem(name)
    for part in f"{stem}.overlay.png".split("/"):
        assert len(part.encode()) <= LONGEST_NAME
    assert len({file_stem(f"{name}{end}") for end in "abc"}) == 3


def test_names_that_are_no_text_have_maps_too() -> None:
    names = [os.fsdecode(b"caf\xe9.png"), os.fsdecode(b"caf\xe8.png"), "café.png"]
    assert len({file_stem(name).encode() for name in names}) == 3


def test_a_map_that_cannot_be_written_costs_its_row_alone(
    fitted: Bundle, films: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk refuses a name: here since a folder lies where the map should."""
    out = tmp_path / "out"
    bad = films.rows[1].path
    (out / "maps" / f"{bad}.map.tiff" / "in the way").mkdir(parents=True)
    (out / "run.json").write_text('{"made_by": "score"}')
    real = scoring.read_items

    def with_maps(*given, **how):
        for result in real(*given, **how):
            heat = np.zeros((32, 32), np.float32)
            yield replace(result, map=heat, picture=heat, placement=placed(result, films))

    monkeypatch.setattr(scoring, "read_items", with_maps)
    scaled = replace(fitted, calibration=_Scaled(fitted.calibration))
    summary = score_into(scaled, films, out, workers=0)
    assert [path for path, _ in summary.failed] == [bad]
    assert "its map cannot be written" in summary.failed[0][1]
    assert summary.flagged is None  # too few calibration patients
    with (out / "readings.csv").open() as file:
        assert sum(bool(row["map"]) for row in csv.DictReader(file)) == 3


def placed(result: Result, films: Manifest) -> Placement:
    from secondread.images.read import read_image
    from secondread.preprocessing.preprocessing import Preprocessing
    from secondread.recipes.recipe import Recipe

    settings = Recipe.load("spectrum", set=["preprocessing.size=[32,32]"]).preprocessing
    reference = films.reference(Row(result.reading.path))
    return Preprocessing(settings).apply(read_image(reference)).placement


class _Scaled:
    """A calibration that knows a scale of maps, though its detector gives none."""

    map_scale = (0.0, 1.0)

    def __init__(self, calibration: object) -> None:
        self._calibration = calibration

    def __getattr__(self, name: str) -> object:
        return getattr(self._calibration, name)


def test_paths_given_from_another_folder_are_other_inputs(
    fitted: Bundle, films: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for site in ("a", "b"):
        (tmp_path / site).mkdir()
        Picture.effect_noise((48, 48), ord(site)).save(tmp_path / site / "film.png")
    monkeypatch.chdir(tmp_path / "a")
    score_into(fitted, ["film.png"], tmp_path / "out", workers=0)
    assert Readings.read(tmp_path / "out").base == tmp_path / "a"
    monkeypatch.chdir(tmp_path / "b")
    with pytest.raises(UserError, match="other inputs"):
        score_into(fitted, ["film.png"], tmp_path / "out", workers=0)

import csv
import io
import json
import shutil
from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import pytest
import tifffile
from PIL import Image as Picture

from secondread.bundles.bundle import Bundle
from secondread.cohorts.manifest import Manifest
from secondread.cohorts.phantoms.make import make_phantoms
from secondread.cohorts.row import Row
from secondread.errors import UserError
from secondread.fitting.calibrate import calibrate
from secondread.fitting.fit import fit
from secondread.images.workers.pool import Pool
from secondread.readings.inputs import gather
from secondread.readings.maps import file_stem
from secondread.readings.pipeline import read_items
from secondread.readings.readings import Readings
from secondread.readings.score import score
from secondread.readings.score_into import score_into
from secondread.readings.streamed.item import Item
from secondread.recipes.recipe import Recipe


def table(out: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO((out / "readings.csv").read_text())))


def test_every_test_row_gets_a_reading_that_evaluation_can_read(
    fitted: Bundle, phantoms, tmp_path: Path
) -> None:
    tested = phantoms.where("split=test")
    summary = score_into(fitted, tested, tmp_path / "out", workers=0)
    assert (summary.scored, summary.earlier, summary.failed) == (len(tested.rows), 0, ())
    readings = Readings.read(tmp_path / "out" / "readings.csv")
    assert [row.path for row in readings.rows] == [row.path for row in tested.rows]
    assert all(row.p_value and 0 < row.p_value <= 1 for row in readings.rows)
    assert set(readings.rows[0].baselines) == {"mean_intensity", "pixel_1nn", "spectrum"}
    assert set(readings.acquisition) == set(readings.thumbnails) == {row.path for row in tested.rows}
    assert readings.base == phantoms.base
    assert readings.run.digests.bundle == fitted.digest
    assert readings.run.patients_seen.key == fitted.seen.key
    assert (tmp_path / "out" / "studies.csv").is_file()


def test_a_score_does_not_depend_on_batch_or_order_or_workers(mapping_bundle: Bundle, phantoms) -> None:
    rows = phantoms.where("split=test").rows
    items = [Item(row.path, phantoms.reference(row)) for row in rows]
    alone = {
        r.reading.path: r.reading.score for r in read_items(mapping_bundle, items, workers=0, batch_size=1)
    }
    other = {
        r.reading.path: r.reading.score
        for r in read_items(mapping_bundle, items[::-1], workers=1, batch_size=5)
    }
    assert alone == other


def settled(bundle: Bundle, phantoms: Manifest) -> tuple[list[float], list[float]]:
    """The scores that calibrated the bundle, and those that the same images get when they are read."""
    references = [str(phantoms.reference(row)) for row in phantoms.where("split=train").rows]
    loaded = Bundle.load(str(bundle.path))
    readings = score(loaded, references, workers=0).rows
    again = [reading for reading in readings if reading.seen == "calibration"]
    return sorted(float(reading.score or 0) for reading in again), bundle.calibration.images.scores.tolist()


def test_the_normals_of_the_calibration_get_the_same_bits_again(mapping_bundle: Bundle, phantoms) -> None:
    again, before = settled(mapping_bundle, phantoms)
    assert again == before


@pytest.mark.parametrize("here", ["float32", pytest.param("bf16", marks=pytest.mark.slow)])
def test_a_bundle_is_read_in_the_precision_of_its_calibration_whatever_this_machine_would_take(
    phantoms, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, here: str
) -> None:
    monkeypatch.setenv("SECONDREAD_PRECISION", "bf16")
    recipe = Recipe.from_mapping(
        {
            "preprocessing": {"size": [16, 16]},
            "detector": {"name": "ae", "network": {"width": 4, "hidden": 16, "latent": 4}},
            "stages": {"reconstruction": {"epochs": 1, "batch_size": 8}},
            "cohorts": {"validation": 0.2, "calibration": 0.3},
        }
    )
    bundle = fit(recipe, phantoms, tmp_path / "bundle", cache=tmp_path / "c", workers=0, progress=False)
    monkeypatch.setenv("SECONDREAD_PRECISION", here)
    again, before = settled(bundle, phantoms)
    assert bundle.precision == "bf16"
    assert again == before
    moved = calibrate(
        bundle, phantoms, tmp_path / "moved",
        false_alarm_rate=0.2, cache=tmp_path / "c", workers=0, progress=False,
    )  # fmt: skip
    assert moved.precision == here
    assert settled(moved, phantoms)[0] == moved.calibration.images.scores.tolist()


def test_scoring_again_changes_nothing(fitted: Bundle, phantoms, tmp_path: Path) -> None:
    out = tmp_path / "out"
    tested = phantoms.where("split=test")
    score_into(fitted, tested, out, workers=0)
    before = (out / "readings.csv").read_bytes()
    summary = score_into(fitted, tested, out, workers=0)
    assert (summary.scored, summary.earlier) == (0, len(tested.rows))
    assert (out / "readings.csv").read_bytes() == before


@pytest.mark.parametrize("cut", [1, 30, 700])
def test_a_torn_table_is_completed(fitted: Bundle, phantoms, tmp_path: Path, cut: int) -> None:
    out = tmp_path / "out"
    tested = phantoms.where("split=test")
    score_into(fitted, tested, out, workers=0)
    whole = (out / "readings.csv").read_bytes()
    (out / "readings.csv").write_bytes(whole[:-cut])
    facts = (out / "facts.jsonl").read_bytes()
    (out / "facts.jsonl").write_bytes(facts[: len(facts) - cut])
    score_into(fitted, tested, out, workers=0)
    assert (out / "readings.csv").read_bytes() == whole
    assert len(Readings.read(out).thumbnails) == len(tested.rows)


def test_a_folder_with_broken_files_scores_the_rest_and_lists_them(
    fitted: Bundle, phantoms, tmp_path: Path
) -> None:
    folder = tmp_path / "films"
    shutil.copytree(phantoms.base / "test", folder)
    (folder / "text.png").write_text("words")
    whole = (folder / "normal" / next(p.name for p in (folder / "normal").iterdir())).read_bytes()
    (folder / "cut.png").write_bytes(whole[: len(whole) // 2])
    summary = score_into(fitted, folder, tmp_path / "out", workers=1)
    assert {Path(path).name for path, _ in summary.failed} == {"text.png", "cut.png"}
    assert all(reason for _, reason in summary.failed)
    assert summary.scored == 12
    rows = table(tmp_path / "out")
    assert len(rows) == 14
    assert {Path(row["path"]).name for row in rows if row["error"]} == {"text.png", "cut.png"}


def test_a_mended_file_is_read_the_next_time(fitted: Bundle, phantoms, tmp_path: Path) -> None:
    film = tmp_path / "film.png"
    film.write_text("words")
    assert score_into(fitted, [str(film)], tmp_path / "out", workers=0).nothing_readable
    shutil.copy(phantoms.reference(phantoms.rows[0]), film)
    assert score_into(fitted, [str(film)], tmp_path / "out", workers=0).scored == 1
    assert len(table(tmp_path / "out")) == 1


def test_missing_rows_of_a_manifest_are_errors_and_a_missing_input_is_wrong_use(
    fitted, phantoms, tmp_path
) -> None:
    rows = (*phantoms.where("split=test").rows[:2], Row("gone.png"))
    summary = score_into(fitted, replace(phantoms, rows=rows), tmp_path / "out", workers=0)
    assert [path for path, _ in summary.failed] == ["gone.png"]
    with pytest.raises(UserError, match="no such file"):
        score_into(fitted, [str(tmp_path / "gone.png")], tmp_path / "other", workers=0)


def test_readings_of_another_bundle_are_not_mixed(fitted: Bundle, phantoms, tmp_path: Path) -> None:
    tested = phantoms.where("split=test")
    score_into(fitted, tested, tmp_path / "out", workers=0)
    with pytest.raises(UserError, match="another bundle"):
        score_into(replace(fitted, digest="f" * 64), tested, tmp_path / "out", workers=0)
    with pytest.raises(UserError, match="already"):
        score_into(fitted, tested, tmp_path / "out", workers=0, resume=False)


def test_maps_lie_on_the_grid_of_the_file(mapping_bundle: Bundle, phantoms, tmp_path: Path) -> None:
    film = tmp_path / "wide.png"
    with Picture.open(phantoms.reference(phantoms.rows[0])) as picture:
        picture.resize((70, 51)).save(film)
    out = tmp_path / "out"
    score_into(mapping_bundle, [str(film)], out, maps=True, workers=0)
    reading = Readings.read(out).rows[0]
    assert reading.map is not None
    assert tifffile.imread(reading.map).shape == (51, 70)
    assert reading.score_without_complexity is not None
    overlay = Path(str(reading.map).replace(".map.tiff", ".overlay.png"))
    with Picture.open(overlay) as picture:
        assert picture.size == (70, 51)
    run = json.loads((out / "run.json").read_text())
    assert run["map_scale"][0] < run["map_scale"][1]


def test_asking_for_maps_later_makes_them(mapping_bundle: Bundle, phantoms, tmp_path: Path) -> None:
    tested = phantoms.where("split=test")
    score_into(mapping_bundle, tested, tmp_path / "out", workers=0)
    score_into(mapping_bundle, tested, tmp_path / "out", workers=0, maps=True)
    rows = Readings.read(tmp_path / "out").rows
    assert len(rows) == len(tested.rows)
    assert all(row.map is not None and row.map.is_file() for row in rows)


def test_volumes_get_readings_and_maps_on_their_grid(tmp_path: Path) -> None:
    nibabel = pytest.importorskip("nibabel")
    heads = Manifest.read(
        make_phantoms(tmp_path / "heads", seed=2, rank=3, n_normal=16, n_abnormal=2, size=(16, 16, 16))
    )
    recipe = Recipe.load(
        "aeflow-volume",
        set=[
            "preprocessing.size=[16, 16, 16]", "cohorts.calibration=0.3", "cohorts.validation=0.2",
            "stages.autoencoder.epochs=1", "stages.flow.epochs=1",
        ],
    )  # fmt: skip
    bundle = fit(recipe, heads, tmp_path / "bundle", cache=tmp_path / "cache", workers=0, progress=False)
    tested = heads.where("split=test")
    score_into(bundle, tested, tmp_path / "out", maps=True, workers=0)
    row = Readings.read(tmp_path / "out").rows[0]
    assert row.map is not None
    written, original = nibabel.load(row.map), nibabel.load(heads.reference(tested.rows[0]))
    assert written.shape == original.shape
    np.testing.assert_allclose(written.affine, original.affine, atol=1e-4)


def test_inputs_may_be_archives_members_and_several(phantoms, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    np.savez(
        tmp_path / "a.npz",
        test_images=rng.integers(0, 255, (3, 8, 8), dtype=np.uint8),
        test_labels=np.zeros(3),
    )
    film = phantoms.reference(phantoms.rows[0])
    items = gather([str(tmp_path / "a.npz"), film, film, f"{tmp_path / 'a.npz'}#test_images/1"]).items
    assert len(items) == 4
    with pytest.raises(UserError, match="nothing to score"):
        gather([])
    with pytest.raises(UserError, match="--where"):
        gather([film], where=["view=PA"])


def test_many_archives_and_volumes_are_listed_by_one_set_of_workers_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(4):
        np.savez(tmp_path / f"a{number}.npz", images=np.zeros((2, 8, 8), np.uint8))
        volume = nibabel.Nifti1Image(np.zeros((5, 6, 7), np.int16), np.eye(4))
        volume.to_filename(tmp_path / f"v{number}.nii")
    (tmp_path / "b.npz").write_bytes(b"PK\3\4 cut")
    begun: list[Pool] = []
    start = Pool.start
    monkeypatch.setattr(Pool, "start", lambda pool: (begun.append(pool), start(pool)))
    given = [str(path) for path in sorted(tmp_path.iterdir())]
    items = gather(given, rank=2, workers=1).items
    assert len(begun) == 2
    assert [item.path.removeprefix(f"{tmp_path}/") for item in items][5:11] == [
        "a2.npz#images/1", "a3.npz#images/0", "a3.npz#images/1", "b.npz", "v0.nii#slice/axial/0",
        "v0.nii#slice/axial/1",
    ]  # fmt: skip
    assert [bool(item.problem) for item in items[:10]] == [False] * 8 + [True, False]


def test_map_names_stay_inside_the_folder_and_apart() -> None:
    assert file_stem("films/a.png") == "films/a.png"
    names = [
        file_stem(path) for path in ("/abs/a.png", "../a.png", "a.npz#x/1", "a.npz_x/1", "x" * 400, "~/a")
    ]
    assert len(set(names)) == len(names)
    assert not any(name.startswith("/") or ".." in name.split("/") or len(name) > 200 for name in names)


def test_what_the_reader_remarks_stands_in_the_readings(fitted: Bundle, tmp_path: Path) -> None:
    seen = np.random.default_rng(0).integers(0, 255, (40, 40, 4)).astype(np.uint8)
    Picture.fromarray(seen).save(tmp_path / "seen-through.png")
    Picture.fromarray(seen[..., :3]).save(tmp_path / "plain.png")
    score_into(fitted, [tmp_path / "seen-through.png", tmp_path / "plain.png"], tmp_path / "out", workers=0)
    first, second = Readings.read(tmp_path / "out").rows
    assert any("alpha is composited on black" in remark for remark in first.remarks)
    assert not any("alpha" in remark for remark in second.remarks)
    assert "alpha is composited on black" in table(tmp_path / "out")[0]["remarks"]

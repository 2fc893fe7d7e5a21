import shutil
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest
from PIL import Image as Picture

from secondread.bundles.bundle import Bundle
from secondread.bundles.seen import hash_patient
from secondread.calibration.description import describe
from secondread.cohorts.manifest import Manifest
from secondread.cohorts.row import Row
from secondread.errors import DataError, UserError
from secondread.fitting.calibrate import calibrate
from secondread.fitting.fit import fit
from secondread.fitting.unfinished import Unfinished
from secondread.readings.score import score
from secondread.recipes.recipe import Recipe


def fit_here(recipe: Recipe, manifest: Manifest, out: Path, **more) -> Bundle:
    cache = more.pop("cache", out.parent / "cache")
    return fit(recipe, manifest, out, cache=cache, workers=0, device="cpu", progress=False, **more)


def test_twice_with_one_seed_gives_equal_scores(recipe, phantoms, fitted: Bundle, tmp_path: Path) -> None:
    again = fit_here(recipe, phantoms, tmp_path / "again")
    tested = phantoms.where("split=test")
    first, second = (score(bundle, tested, workers=0).rows for bundle in (fitted, again))
    assert [(r.score, r.p_value, r.baselines) for r in first] == [
        (r.score, r.p_value, r.baselines) for r in second
    ]


def test_leaves_only_the_bundle(recipe, phantoms, tmp_path: Path) -> None:
    fit_here(recipe, phantoms, tmp_path / "out" / "bundle", cache=tmp_path / "cache")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["bundle"]


def test_no_test_image_is_seen(fitted: Bundle, phantoms) -> None:
    tested = {row.patient_id for row in phantoms.rows if row.split == "test"}
    hashes = {hash_patient(patient, fitted.seen.key) for patient in tested}
    assert not hashes & {h for cohort in fitted.seen.patients.values() for h in cohort}
    assert not any(reading.seen for reading in score(fitted, phantoms.where("split=test"), workers=0).rows)
    assert all(reading.seen for reading in score(fitted, phantoms.where("split=train"), workers=0).rows)


def test_the_same_fit_again_loads_its_bundle_and_another_replaces_it_by_force_alone(
    recipe, phantoms, copied: Path
) -> None:
    before = (copied / "bundle.json").read_bytes()
    assert fit_here(recipe, phantoms, copied).path == copied
    with pytest.raises(UserError, match=r"another fit already \(seed: 0, now 5\);.* --force"):
        fit_here(recipe, phantoms, copied, seed=5)
    other = Recipe.from_mapping(recipe.model_dump(), set=["detector.bands=9"])
    with pytest.raises(UserError, match=r"\(detector\.bands: 8, now 9\)"):
        fit_here(other, phantoms, copied)
    assert (copied / "bundle.json").read_bytes() == before
    assert fit_here(other, phantoms, copied, force=True).recipe.detector["bands"] == 9
    (copied.parent / "film.png").write_bytes(b"")
    with pytest.raises(UserError, match=r"film\.png: is a file; choose another place"):
        fit_here(recipe, phantoms, copied.parent / "film.png")


def test_an_unfinished_fit_is_taken_up_and_another_gives_way_unless_it_has_checkpoints(
    tmp_path: Path,
) -> None:
    out = tmp_path / "new"
    then = Unfinished(out, {"recipe": "a", "seed": 0}, {"detector": {"k": 1}})
    assert not then.begin()
    assert then.begin()
    now = Unfinished(out, {"recipe": "b", "seed": 0}, {"detector": {"k": 2}})
    assert not now.begin()
    (now.folder / "detector" / "checkpoints").mkdir(parents=True)
    (now.folder / "detector" / "checkpoints" / "checkpoint-00000001-x.pt").touch()
    with pytest.raises(UserError, match=r"settings lies there \(detector\.k: 2, now 1\);.* --force"):
        then.begin()
    assert now.begin()
    assert not then.begin(force=True)
    assert not then.begun


def test_a_fit_that_fails_on_its_settings_or_images_leaves_nothing(recipe, phantoms, tmp_path: Path) -> None:
    for more, problem in (
        (["detector.band=8"], "did you mean bands"),
        (["stages.x={epochs: 1}"], "stages.x is no"),
    ):
        wrong = Recipe.from_mapping(recipe.model_dump(), set=more)
        with pytest.raises(UserError, match=problem):
            fit_here(wrong, phantoms, tmp_path / "out" / "bundle")
    with pytest.raises(UserError, match="did you mean cuda"):
        fit(recipe, phantoms, tmp_path / "out" / "bundle", device="gpu", workers=0, progress=False)
    steps = "preprocessing.steps=[{window: brain}, {align: {}}]"
    ct = Recipe.from_mapping(recipe.model_dump(), set=[steps])
    with pytest.raises(DataError, match=r"none of 6 training images .* 8-bit .* no Hounsfield units, which"):
        fit_here(ct, phantoms, tmp_path / "out" / "bundle")
    assert not (tmp_path / "out" / "bundle.partial").exists()
    assert fit_here(recipe, phantoms, tmp_path / "out" / "bundle").path


def test_test_patients_in_train_are_refused_by_name(recipe, phantoms, tmp_path: Path) -> None:
    patient = next(row.patient_id for row in phantoms.rows if row.split == "train")
    shared = replace(
        phantoms,
        rows=tuple(
            replace(row, patient_id=patient) if row.split == "test" and row.label == "normal" else row
            for row in phantoms.rows
        ),
    )
    with pytest.raises(UserError, match=patient):
        fit_here(recipe, shared, tmp_path / "bundle")
    allowed = fit_here(recipe, shared, tmp_path / "bundle", allow_shared_patients=True)
    assert allowed.provenance.allow_shared_patients
    assert allowed.provenance.shared_patients == 1


def test_a_copy_of_a_training_image_does_not_calibrate(recipe, phantoms, tmp_path: Path) -> None:
    rows = list(phantoms.rows)
    first = next(row for row in rows if row.split == "train" and row.label == "normal")
    shutil.copy(phantoms.reference(first), tmp_path / "copy.png")
    copies = [
        Row(str(tmp_path / f"copy{i}.png"), "train", "normal", patient_id=f"other-{i}") for i in range(12)
    ]
    for row in copies:
        shutil.copy(phantoms.reference(first), row.path)
    bundle = fit_here(recipe, replace(phantoms, rows=(*rows, *copies)), tmp_path / "bundle")
    digests = bundle.seen.images
    assert not set(digests["calibration"]) & {*digests["normal"], *digests["validation"]}


def test_a_broken_file_costs_itself_and_many_stop_the_fit(recipe, phantoms, tmp_path: Path) -> None:
    broken = tmp_path / "text.png"
    broken.write_text("not an image")
    rows = (*phantoms.rows, Row(str(broken), "train", "normal", patient_id="broken"))
    bundle = fit_here(recipe, replace(phantoms, rows=rows), tmp_path / "bundle")
    assert sum(bundle.provenance.unreadable.values()) == 1
    missing = tuple(replace(row, path=f"missing/{row.path}") for row in phantoms.rows)
    with pytest.raises(DataError, match=r"none of 6 .* no such file"):
        fit_here(recipe, replace(phantoms, rows=missing), tmp_path / "other")


def test_calibrate_keeps_the_model_and_renews_the_threshold(fitted: Bundle, phantoms, tmp_path: Path) -> None:
    for i in range(30):
        Picture.effect_noise((48, 48), 5 + i).save(tmp_path / f"{i}.png")
    site = Manifest(
        tuple(Row(str(tmp_path / f"{i}.png"), label="normal", patient_id=f"site-{i}") for i in range(30)),
        tmp_path,
    )
    renewed = calibrate(
        fitted,
        site,
        tmp_path / "renewed",
        false_alarm_rate=0.2,
        cache=tmp_path / "cache",
        workers=0,
        progress=False,
    )
    loaded = Bundle.load(tmp_path / "renewed")
    assert describe(loaded.calibration)["false_alarm_rate"] == 0.2
    assert loaded.calibration.threshold != fitted.calibration.threshold
    assert loaded.digest == renewed.digest != fitted.digest
    assert len(loaded.provenance.recalibrated) == 1
    tested = phantoms.where("split=test")
    assert [r.score for r in score(loaded, tested, workers=0).rows] == [
        r.score for r in score(fitted, tested, workers=0).rows
    ]
    assert all(reading.seen == "calibration" for reading in score(loaded, site, workers=0).rows)


def a_site(folder: Path, count: int = 30) -> list[Row]:
    for i in range(count):
        Picture.effect_noise((48, 48), 5 + i).save(folder / f"{i}.png")
    return [Row(str(folder / f"{i}.png"), label="normal", patient_id=f"site-{i}") for i in range(count)]


def test_calibrate_leaves_out_patients_and_images_that_the_model_learnt_from(
    fitted: Bundle, phantoms, tmp_path: Path, capsys
) -> None:
    rows = a_site(tmp_path)
    learnt = learnt_row(fitted, phantoms)
    shutil.copy(phantoms.reference(learnt), tmp_path / "copy.png")
    rows[0] = replace(rows[0], patient_id=learnt.patient_id)
    rows.append(Row(str(tmp_path / "copy.png"), label="normal", patient_id="other"))
    renewed = calibrate(
        fitted, Manifest(tuple(rows), tmp_path), tmp_path / "out", cache=tmp_path / "cache", workers=0
    )
    assert renewed.calibration.images.patients == 29
    said = capsys.readouterr().err
    assert f"1 normal left out, as the model learned from their patients: {learnt.patient_id}" in said
    assert "copy.png" in said
    done = renewed.provenance.recalibrated[-1]
    assert (done["patients_left_out"], done["copies_left_out"], done["unreadable"]) == ("1", "1", "0")


def test_calibrate_refuses_where_too_few_are_left(fitted: Bundle, phantoms, tmp_path: Path) -> None:
    rows = a_site(tmp_path, 19)
    rows[3] = replace(rows[3], patient_id=learnt_row(fitted, phantoms).patient_id)
    for manifest in (phantoms, Manifest(tuple(rows), tmp_path)):
        with pytest.raises(UserError, match=r"learned from patients .* needs 19"):
            calibrate(fitted, manifest, tmp_path / "out", cache=tmp_path / "cache", workers=0, progress=False)
    assert not (tmp_path / "out").exists()


def test_calibrate_takes_no_normal_of_the_unlabelled_pool(fitted: Bundle, tmp_path: Path) -> None:
    pool = [replace(row, split="train", extra={"pool": "unlabelled"}) for row in a_site(tmp_path)]
    with pytest.raises(UserError, match="has label normal, the unlabelled pool apart"):
        calibrate(fitted, Manifest(tuple(pool), tmp_path), tmp_path / "out", workers=0, progress=False)


def learnt_row(bundle: Bundle, manifest: Manifest) -> Row:
    """A row of a patient that the model learned from."""
    hashes = bundle.seen.patients["normal"]
    return next(row for row in manifest.rows if hash_patient(row.patient_id, bundle.seen.key) in hashes)


def test_missing_weights_stop_a_fit_before_any_image_is_read(
    phantoms, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SECONDREAD_WEIGHTS", raising=False)
    missing = tuple(replace(row, path=f"missing/{row.path}") for row in phantoms.rows)
    recipe = Recipe.load("k-nn", set=["detector.encoder.name=squeezenet1_1"])
    with pytest.raises(UserError, match=r"squeezenet1_1\.safetensors"):
        fit_here(recipe, replace(phantoms, rows=missing), tmp_path / "bundle")
    assert not (tmp_path / "bundle.partial").exists()


def test_weights_found_through_the_environment_stand_in_the_provenance(
    phantoms, shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECONDREAD_WEIGHTS", str(shared_data / "weights"))
    recipe = Recipe.load("k-nn", set=["preprocessing.size=[64,64]", "detector.encoder.name=squeezenet1_1"])
    bundle = fit_here(recipe, phantoms, tmp_path / "bundle")
    ((name, digest),) = bundle.provenance.weights.items()
    assert name.startswith("squeezenet1_1")
    assert digest == sha256((shared_data / "weights" / name).read_bytes()).hexdigest()

"""What a prompt and a notebook show of the package's objects: one short line, and tables that run nothing."""

import re
import sys
from dataclasses import replace

import numpy as np
import pytest

from secondread.cohorts.cohorts import build_cohorts
from secondread.cohorts.manifest import Manifest
from secondread.errors import UserError
from secondread.evaluation.evaluate import evaluate
from secondread.images.read import read_image
from secondread.preprocessing.prepared_set import prepare_set
from secondread.readings.inputs import gather
from secondread.readings.pipeline import read_items
from secondread.readings.readings import Readings
from secondread.readings.score import score
from secondread.recipes.recipe import Recipe

MOST = 300
SCRIPT = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def readings(mapping_bundle, phantoms, tmp_path_factory):
    out = tmp_path_factory.mktemp("shown") / "out"
    score(mapping_bundle, phantoms, out, where=["split=test"], maps=True, workers=0)
    return Readings.read(out)


@pytest.fixture(scope="module")
def evaluation(readings, phantoms):
    return evaluate(readings.directory / "readings.csv", phantoms, bootstrap=20, workers=0)


def all_objects(bundle, manifest, readings, evaluation):
    """Every object that a person holds in their hands, and what these are made of."""
    references = [manifest.reference(row) for row in manifest.where("split=test").rows]
    images = [read_image(reference) for reference in references[:3]]
    result = next(read_items(bundle, gather(references[:1]).items, maps=True, workers=0))
    cases = evaluation.cases
    return [
        bundle, bundle.recipe, bundle.recipe.preprocessing, bundle.recipe.calibration, bundle.recipe.cohorts,
        *bundle.recipe.stages.values(), bundle.detector, bundle.detector.settings, bundle.preprocessing,
        bundle.calibration,
        bundle.companions, bundle.provenance, bundle.seen, bundle.scorer,
        bundle.judge_images(images, maps=True),
        bundle.scorer.batch(np.zeros((2, 1, 32, 32), np.float32), None, ["00" * 20] * 2),
        *images, *bundle.prepare(images), prepare_set(references, bundle.preprocessing, workers=0),
        manifest, manifest.rows[0], build_cohorts(manifest, bundle.recipe.cohorts, 0), gather(references),
        result, result.reading, result.placement, readings, readings.rows[0], readings.run,
        readings.run.calibration, readings.run.provenance, readings.run.provenance.training,
        evaluation, evaluation.images, evaluation.images.units, evaluation.images.promise,
        evaluation.images.curves, *evaluation.images.points, cases, *cases.cases[:1], evaluation.shortcut,
        *evaluation.parts, *evaluation.baselines.values(), evaluation.complexity, evaluation.background,
        evaluation.pixels, *evaluation.findings,
    ]  # fmt: skip


def test_every_object_is_told_in_one_short_line(mapping_bundle, phantoms, readings, evaluation):
    for one in all_objects(mapping_bundle, phantoms, readings, evaluation):
        for text in (repr(one), str(one)):
            assert len(text) <= MOST, (type(one), text[:MOST])
            assert "\n" not in text


def test_the_line_says_what_matters(mapping_bundle, fitted, phantoms, readings, evaluation, recipe):
    assert repr(phantoms) == (
        "<Manifest manifest.csv of 42 images; test: 6 abnormal + 6 normal, train: 30 normal>"
    )
    assert re.fullmatch(
        r"<Bundle '.*' \(bundle, [0-9a-f]{12}\): aeflow on 1×32×32, fitted .*>", repr(mapping_bundle)
    )
    assert repr(recipe) == "<Recipe 'a recipe': spectrum on 32×32, seed 0>"
    assert repr(fitted.companions) == "<Companions: mean-intensity, pixel-1nn, spectrum>"
    assert repr(fitted.preprocessing) == "<Preprocessing to 1×32×32: window>"
    assert repr(readings).startswith("<Readings of 12 images in out: ")
    assert repr(evaluation).startswith("<Evaluation of 6 normal and 6 abnormal images: AUROC ")
    assert "of 8 patients: too few for a false-alarm rate of 5 %" in repr(fitted.calibration)
    assert repr(fitted.seen) == "<Seen: 30 images and 25 patients of 5 cohorts>"


@pytest.mark.parametrize("preset", ["aeflow", "ddad-ae", "patchcore", "glow-gmm-small"])
def test_a_presets_settings_are_told_in_one_short_line(preset):
    recipe = Recipe.load(preset)
    for one in (recipe, recipe.preprocessing, recipe.about, *recipe.stages.values()):
        assert max(len(repr(one)), len(str(one))) <= MOST


def test_manifests_and_readings_are_collections_of_their_rows(phantoms, readings):
    assert len(phantoms) == len(phantoms.rows) == 42
    assert list(phantoms) == list(phantoms.rows)
    assert len(readings) == 12
    assert list(readings) == list(readings.rows)


def test_they_become_tables_of_pandas(phantoms, readings):
    pandas = pytest.importorskip("pandas")
    table = phantoms.to_pandas()
    assert isinstance(table, pandas.DataFrame)
    assert list(table.columns[:4]) == ["path", "split", "label", "finding"]
    assert table["path"].tolist() == [row.path for row in phantoms]
    assert (table["split"] == "test").sum() == 12
    table = readings.to_pandas()
    assert table["score"].tolist() == [row.score for row in readings]
    assert table["flagged"].tolist() == [row.flagged for row in readings]
    first = readings.rows[0]
    for name, value in {**first.parts}.items():
        assert table[f"part_{name}"][0] == value
    for name, value in {**first.baselines}.items():
        assert table[f"baseline_{name}"][0] == value
    failed = replace(readings, rows=(replace(first, score=None, p_value=None, error="torn"), *readings.rows))
    assert pandas.isna(failed.to_pandas()["score"][0])


def test_without_pandas_one_line_says_how_to_have_it(phantoms, readings, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    for one in (phantoms, readings):
        with pytest.raises(UserError, match=r"pip install .*\[pandas\]"):
            one.to_pandas()


def test_notebooks_show_tables_and_figures(phantoms, readings, evaluation, mapping_bundle):
    html = phantoms._repr_html_()
    assert "42 images" in html
    assert phantoms.rows[0].path in html
    assert "and 34 more" in html
    html = readings._repr_html_()
    assert html.count("<img ") == 12
    best = max(readings, key=lambda row: row.score)
    assert html.index(best.path) < min(html.index(row.path) for row in readings if row.path != best.path)
    html = evaluation._repr_html_()
    assert "<svg" in html
    assert f"{evaluation.images.auroc.value:.3f}" in html
    assert all(warning.title in html for warning in evaluation.warnings)
    found = mapping_bundle.judge_images(np.random.default_rng(0).random((3, 20, 20)))
    assert found._repr_html_().count("<tr>") == 4
    html = mapping_bundle._repr_html_()
    assert "aeflow" in html
    assert f"{mapping_bundle.provenance.cohorts['normal']} normal" in html


def test_what_files_say_is_shown_and_not_run(phantoms, readings, evaluation):
    rows = tuple(replace(row, path=SCRIPT, finding=SCRIPT) for row in phantoms)
    hostile = Manifest(rows, phantoms.base, source=f"{SCRIPT}.csv", notes=(SCRIPT,))
    told = tuple(replace(row, path=SCRIPT, error=SCRIPT, score=None) for row in readings)
    run = readings.run.model_copy(update={"recipe": {"about": {"title": SCRIPT}}})
    bad = replace(readings, rows=told, run=run)
    for one in (hostile, bad, replace(evaluation, readings=bad, where=(SCRIPT,))):
        html = one._repr_html_()
        assert "<script" not in html
        assert "&lt;script&gt;" in html
    assert len(repr(Manifest(rows, phantoms.base, source="x" * 5000))) <= MOST

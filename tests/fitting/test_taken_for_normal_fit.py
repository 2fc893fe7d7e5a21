"""A fit that takes unlabelled images for normal, from the recipe to what bundle, readings and report say."""

from dataclasses import replace

import pytest

from secondread.bundles.bundle import Bundle
from secondread.detectors.reconstruction.ddad import DDAD
from secondread.errors import UserError
from secondread.evaluation.evaluate import evaluate
from secondread.fitting.fit import fit
from secondread.readings.score_into import score_into
from secondread.recipes.recipe import Recipe
from secondread.reports.cards import model_card


@pytest.fixture(scope="module")
def manifest(phantoms):
    """The phantoms, every third training image without a label."""
    train = [row for row in phantoms.rows if row.split == "train"]
    hidden = {row.path for row in train[::3]}
    rows = [replace(row, label="", finding="") if row.path in hidden else row for row in phantoms.rows]
    return replace(phantoms, rows=tuple(rows))


def recipe_with(recipe: Recipe, **cohorts) -> Recipe:
    values = recipe.model_dump(mode="json")
    return Recipe.from_mapping({**values, "cohorts": {**values["cohorts"], **cohorts}})


def test_bundle_readings_and_report_say_what_was_taken_for_normal(recipe, manifest, tmp_path, capsys):
    named = {"cache": tmp_path / "cache", "workers": 0, "device": "cpu"}
    plain = fit(recipe, manifest, tmp_path / "plain", progress=False, **named)
    joined = fit(recipe_with(recipe, unlabelled_as="normal"), manifest, tmp_path / "joined", **named)
    count = plain.provenance.cohorts["unlabelled"]
    assert count > 0
    note = f"normal holds {count} unlabelled images, taken for normal (cohorts.unlabelled_as)"
    assert note in capsys.readouterr().err
    before, after = plain.provenance, Bundle.load(tmp_path / "joined").provenance
    assert (before.taken_for_normal, after.taken_for_normal) == (0, count)
    assert after.cohorts["normal"] == before.cohorts["normal"] + count
    assert after.cohorts["unlabelled"] == 0
    for name in ("validation", "calibration"):
        assert after.cohorts[name] == before.cohorts[name]
    tested = manifest.where("split=test")
    readings = score_into(joined, tested, tmp_path / "readings", workers=0).readings
    rows = dict(model_card(evaluate(readings, tested)).rows)
    assert rows["Taken for normal in the fit"] == f"{count} unlabelled images"


def test_a_detector_that_learns_from_unlabelled_images_is_refused_in_one_line(manifest, tmp_path):
    form = DDAD.tiny(2)
    asked = Recipe.from_mapping(
        {
            "preprocessing": {"size": list(form.size)},
            "detector": form.settings.model_dump(mode="json"),
            "cohorts": {"unlabelled_as": "normal"},
        }
    )
    with pytest.raises(UserError, match="detector ddad learns from unlabelled images itself") as told:
        fit(asked, manifest, tmp_path / "bundle", workers=0, device="cpu", progress=False)
    assert "\n" not in str(told.value)

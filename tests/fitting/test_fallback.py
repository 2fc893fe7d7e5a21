from copy import deepcopy
from dataclasses import replace

import pytest
from test_fit import fit_here

from secondread.bundles.bundle import Bundle
from secondread.errors import DataError
from secondread.evaluation.evaluate import evaluate
from secondread.readings.score import score
from secondread.readings.score_into import score_into
from secondread.recipes.recipe import Recipe
from secondread.reports.report import write_report


@pytest.fixture(scope="module")
def bundle(phantoms, tmp_path_factory):
    """A DDAD of a few steps, whose discrepancies show nothing."""
    network = {"width": 4, "hidden": 8, "latent": 4}
    stage = {"steps": 2, "batch_size": 8, "optimiser": {"lr": 0.001}}
    recipe = Recipe.from_mapping(
        {
            "preprocessing": {"size": [32, 32]},
            "detector": {
                "name": "ddad", "backbone": {"name": "ae", "network": network}, "members": 2,
                "score": "r_intra", "refiners": ["r_intra"], "refiner": {"width": 8},
            },
            "stages": {"normal": stage, "refine": stage},
            "cohorts": {"validation": 0.3, "calibration": 0.3},
            "precision": "float32",
        }
    )  # fmt: skip
    return fit_here(recipe, phantoms, tmp_path_factory.mktemp("fallback") / "bundle")


def test_a_bundle_keeps_what_was_measured_and_scores_by_the_discrepancy(bundle, phantoms):
    training = bundle.provenance.training
    figures = next(one for one in training["stages"] if one["name"] == "discrepancies")["figures"]
    assert 0.3 < figures["AUROC of intra for drawn anomalies"] < 0.7
    assert figures["lower bound of intra"] < 0.6
    assert "score and map are intra in place of r_intra" in training["warnings"][0]
    loaded = Bundle.load(bundle.path)
    assert loaded.detector.scored == "intra"
    assert loaded.parts == ("rec", "intra", "r_intra", "single")
    for reading in score(loaded, phantoms.where("split=test"), workers=0).rows:
        assert reading.score == pytest.approx(reading.parts["intra"])


def test_the_report_warns(bundle, phantoms, tmp_path):
    score_into(bundle, phantoms, tmp_path / "out", where=["split=test", "label=normal"], maps=True, workers=0)
    evaluation = evaluate(tmp_path / "out" / "readings.csv", phantoms.source, bootstrap=20, workers=0)
    assert "fit" in {warning.kind for warning in evaluation.warnings}
    page = write_report(evaluation, tmp_path / "report", workers=0).read_text(encoding="utf-8")
    assert "The model is less than its recipe" in page
    assert "score and map are intra in place of r_intra" in page
    assert "AUROC of intra for drawn anomalies 0." in page


def test_a_bundle_of_before_the_measure_loads_and_keeps_its_score(bundle, tmp_path):
    detector = deepcopy(bundle.detector)
    detector.patch_auroc = None
    replace(bundle, detector=detector).save(tmp_path / "before")
    assert Bundle.load(tmp_path / "before").detector.scored == "r_intra"
    del detector.refiners["r_intra"]
    replace(bundle, detector=detector).save(tmp_path / "broken")
    with pytest.raises(DataError, match="only the recipe has 'refiners"):
        Bundle.load(tmp_path / "broken")

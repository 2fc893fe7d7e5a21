import numpy as np
import pytest
import torch
from in_memory import blobs, fit, score
from pydantic import ValidationError

from secondread.detectors.contract import Batch, Part, Scores, ScoringNoise
from secondread.detectors.ensembles.average import Average, AverageSettings
from secondread.detectors.features.k_nn import KNearestNeighbours, KNearestNeighboursSettings
from secondread.detectors.features.mahalanobis import Mahalanobis, MahalanobisSettings
from secondread.detectors.reconstruction.ae import AE
from secondread.errors import UserError
from secondread.recipes.build import build_detector
from secondread.recipes.recipe import Recipe
from secondread.scoring.scorer import Scorer

PIXELS = {"of": "pixels", "side": 8}
SUBSPACE = {
    "name": "feature-subspace",
    "encoder": {"name": "squeezenet1_1", "weights": "random"},
    "strides": [4, 8],
    "grids": [1],
}


def make(of, size=(32, 32), **more):
    torch.manual_seed(0)
    return Average(AverageSettings(of=of, **more), 1, size)


def scorer(detector):
    return Scorer(detector, precision="float32")


def two():
    return make({"far": {"name": "mahalanobis", **PIXELS}, "near": {"name": "k-nn", "k": 2, **PIXELS}})


def test_each_detector_is_fitted_and_scores_as_it_does_alone():
    average, normals, new = two(), blobs(30, (32, 32)), blobs(4, (32, 32), seed=1)
    assert [stage.name for stage in average.stages()] == ["far_moments", "near_bank"]
    fit(average, normals)
    parts = score(average, new).parts
    assert list(parts) == ["far", "near"]
    for name, alone in (
        ("far", Mahalanobis(MahalanobisSettings(**PIXELS), 1, (32, 32))),
        ("near", KNearestNeighbours(KNearestNeighboursSettings(k=2, **PIXELS), 1, (32, 32))),
    ):
        fit(alone, normals)
        expected = score(alone, new).parts["distance"].values
        torch.testing.assert_close(parts[name].values, expected, rtol=1e-3, atol=1e-5)


def test_weights_are_of_detectors_and_parts_that_are_standardised_share_theirs():
    of = {"far": {"name": "mahalanobis", **PIXELS}, "rest": SUBSPACE}
    average = make(of, weights={"far": 3.0})
    mixture = average.mixture()
    assert mixture.scaled
    assert mixture.weights == pytest.approx(
        {"far": 0.75, "rest_level_1_grid_1": 0.125, "rest_level_2_grid_1": 0.125}
    )
    assert average.map_mixture().weights == pytest.approx({"rest_level_1": 0.5, "rest_level_2": 0.5})
    fit(average, blobs(20, (32, 32)))
    found = score(average, blobs(2, (32, 32), seed=1))
    assert set(found.parts) == set(mixture.weights)
    assert set(found.maps) == {"rest_level_1", "rest_level_2"}


def test_where_no_detector_gives_a_map_there_is_none():
    assert two().map_mixture() is None


def test_a_detectors_loss_is_told_that_a_step_runs_and_its_epochs_are_compared_by_itself():
    tiny = AE.tiny(2).settings.model_dump()
    average = make({"late": {"name": "k-nn", "k": 2, **PIXELS}, "net": tiny})
    stage = list(average.stages())[-1]
    images = blobs(3, (32, 32))
    member = average.detectors["net"]
    average.training, member.training = True, False
    stage.steps[0].loss({"normal": Batch(images)}, torch.Generator())
    assert member.training
    average.eval()
    noise = ScoringNoise([torch.Generator() for _ in range(3)])
    # the neighbours have no bank yet and could not score
    with torch.no_grad():
        assert stage.score(Batch(images), noise).shape == (3,)


def test_epochs_of_a_two_sided_score_are_refused_in_words(monkeypatch):
    average = make({"net": AE.tiny(2).settings.model_dump()})
    two_sided = Scores({"reconstruction": Part(torch.zeros(3), "two")})
    monkeypatch.setattr(average.detectors["net"], "score", lambda *given, **more: two_sided)
    (stage,) = average.stages()
    with pytest.raises(UserError, match="epochs of net cannot be compared within an average"):
        stage.score(Batch(blobs(3, (32, 32))), ScoringNoise([torch.Generator() for _ in range(3)]))


def test_a_mistake_in_a_detectors_settings_is_told_with_its_place():
    recipe = Recipe.load("average", ["detector.of.svm.nu=2"])
    with pytest.raises(UserError, match=r"detector.of.svm.nu"):
        build_detector(recipe, pretrained=False)


def test_averages_within_averages_and_faulty_names_are_refused():
    with pytest.raises(ValidationError, match="average itself"):
        AverageSettings(of={"a": {"name": "average", "of": {"b": {"name": "mean-intensity"}}}})
    with pytest.raises(ValidationError, match="weights names 'b', and of has a"):
        AverageSettings(of={"a": {"name": "mean-intensity"}}, weights={"b": 1.0})
    with pytest.raises(ValidationError, match="did you mean"):
        AverageSettings(of={"a": {"name": "k-mean"}})
    with pytest.raises(ValidationError, match="pattern"):
        AverageSettings(of={"a_b": {"name": "mean-intensity"}})


def test_a_fitted_average_loads_and_scores_the_same():
    average, new = two(), blobs(3, (32, 32), seed=2)
    fit(average, blobs(20, (32, 32)))
    again = two().load_fitted(average.state_dict())
    digests = [f"{number:032x}" for number in range(3)]
    one, other = (
        scorer(detector).batch(new.numpy(), None, digests, maps=False).parts for detector in (average, again)
    )
    for name, values in one.items():
        np.testing.assert_array_equal(values, other[name])

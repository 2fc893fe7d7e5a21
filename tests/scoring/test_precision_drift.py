"""bf16 is taken for scores that it does not move, and for no others."""

import numpy as np
import pytest
import torch
from small_detectors import AutoencoderSettings, build

from secondread.detectors.trivial.mean_intensity import MeanIntensity
from secondread.scoring.image_source import ArraySource
from secondread.scoring.precision_drift import drifts, scoring_precision
from secondread.scoring.scorer import Scorer
from secondread.training.training_precision import training_precision

CPU = torch.device("cpu")


pytestmark = pytest.mark.usefixtures("fast_in_bf16")


@pytest.fixture(scope="module")
def normals() -> ArraySource:
    return ArraySource(np.random.default_rng(0).normal(size=(20, 1, 8, 8)))


def test_what_bf16_does_not_move_runs_in_it(normals: ArraySource) -> None:
    detector = MeanIntensity(MeanIntensity.tiny(2).settings, 1, (8, 8))
    assert set(drifts(detector, normals, device=CPU).values()) == {0.0}
    assert scoring_precision(detector, "auto", normals, device=CPU) == ("bf16", ())


def test_what_bf16_moves_runs_in_float32_and_says_why(normals: ArraySource) -> None:
    torch.manual_seed(0)
    detector = build(AutoencoderSettings())
    with torch.no_grad():
        detector.decoder[-1].bias += 100  # so that the score is of large numbers that hardly differ
    found = drifts(detector, normals, device=CPU)
    assert found["residual"] > 0.01
    precision, (note,) = scoring_precision(detector, "auto", normals, device=CPU)
    assert precision == "float32"
    assert "scoring runs in float32" in note
    assert scoring_precision(detector, "bf16", normals, device=CPU) == ("bf16", ())


def test_the_drift_is_the_shift_in_standard_deviations_of_the_first_normals(normals: ArraySource) -> None:
    detector = build(AutoencoderSettings())
    images, valid = normals.batch(range(5))
    full, half = (
        Scorer(detector, precision=name).batch(images, valid, normals.digests[:5]).parts["residual"]
        for name in ("float32", "bf16")
    )
    expected = np.sqrt(np.mean((half - full) ** 2)) / full.std()
    assert drifts(detector, normals, device=CPU, most=5)["residual"] == pytest.approx(expected, rel=1e-9)


def test_one_normal_tells_nothing(normals: ArraySource) -> None:
    one = ArraySource(normals.images[:1])
    precision, (note,) = scoring_precision(build(AutoencoderSettings()), "auto", one, device=CPU)
    assert precision == "float32"
    assert "too few normals" in note


def test_convolutions_of_volumes_are_trained_in_float32_unless_ordered() -> None:
    flat, deep = (build(AutoencoderSettings(), size) for size in ((8, 8), (8, 8, 8)))
    assert training_precision(flat, "auto", CPU) == "bf16"
    assert training_precision(deep, "auto", CPU) == "float32"
    assert training_precision(deep, "bf16", CPU) == "bf16"

import pytest
import torch

from secondread.detectors.contract import Step
from secondread.detectors.detector_settings import OptimiserSettings, ScheduleSettings
from secondread.training.optimisers import learning_rate, make_optimiser


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"name": "cosine"}, [1.0, 0.5, 0.0]),
        ({"name": "cosine", "falls": 3}, [1.0, 0.5, 0.0]),
        ({"name": "linear"}, [1.0, 0.5, 0.0]),
        ({"name": "polynomial", "power": 0.5}, [1.0, 0.5**0.5, 0.0]),
        ({"name": "constant"}, [1.0, 1.0, 1.0]),
        ({"name": "steps", "at": (0.3, 0.5, 0.9), "factor": 0.1}, [1.0, 0.01, 0.001]),
    ],
)
def test_the_rate_at_the_start_the_middle_and_the_end(settings, expected):
    found = [learning_rate(ScheduleSettings(**settings), 1.0, step, 100) for step in (0, 50, 100)]
    assert found == pytest.approx(expected, abs=1e-12)


def test_a_cosine_of_three_falls_is_back_at_the_full_rate_after_two_thirds():
    settings = ScheduleSettings(name="cosine", falls=3)
    found = [learning_rate(settings, 1.0, step, 90) for step in (30, 60, 90)]
    assert found == pytest.approx([0.0, 1.0, 0.0], abs=1e-12)


def test_amsgrad_steps_by_the_largest_second_moment_so_far():
    moved = {}
    for amsgrad in (False, True):
        weight = torch.nn.Parameter(torch.zeros(1))
        settings = OptimiserSettings(lr=0.1, betas=(0.0, 0.5), amsgrad=amsgrad)
        optimiser = make_optimiser(Step([weight], lambda *_: {}), settings)
        for gradient in (4.0, 1.0, 1.0):
            weight.grad = torch.tensor([gradient])
            before = weight.item()
            optimiser.step()
        moved[amsgrad] = before - weight.item()
    moments = [0.5 * 16, 0.25 * 16 + 0.5, 0.125 * 16 + 0.25 + 0.5]
    assert moved[False] == pytest.approx(0.1 / (moments[2] / 0.875) ** 0.5, rel=1e-4)
    assert moved[True] == pytest.approx(0.1 / (moments[0] / 0.875) ** 0.5, rel=1e-4)


@pytest.mark.parametrize(
    ("kind", "mistake"),
    [
        (lambda: ScheduleSettings(name="cosine", falls=2), "should be odd"),
        (lambda: OptimiserSettings(name="sgd", amsgrad=True), "amsgrad belongs to adam and adamw"),
    ],
)
def test_settings_that_do_not_fit_are_refused(kind, mistake):
    with pytest.raises(ValueError, match=mistake):
        kind()

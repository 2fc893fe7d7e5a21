import pytest
import torch

from secondread.detectors.blocks.variational.restoration import (
    RestorationSettings,
    changes_of_normals,
    choose_weight,
    restored,
    total_variation,
)


def towards_zero(x, valid):
    """A model whose energy is the sum of squares, and which rebuilds half of the image."""
    return x.square().flatten(1).sum(dim=1), 0.5 * x


def test_total_variation_adds_up_the_steps_along_every_axis():
    x = torch.tensor([[[[0.0, 1.0], [3.0, 3.0]]]])
    assert total_variation(x).tolist() == [1 + 0 + 3 + 2]
    assert total_variation(torch.ones(2, 1, 3, 3, 3)).tolist() == [0, 0]


def test_without_weight_each_step_is_one_of_gradient_descent_on_the_energy():
    x = torch.randn(2, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    settings = RestorationSettings(steps=3, rate=0.1)
    torch.testing.assert_close(restored(x, None, towards_zero, settings, 0.0), x * 0.8**3)


@pytest.mark.parametrize(("variation", "share"), [("reconstruction", 0.5), ("start", 0.0)])
def test_the_total_variation_is_of_the_image_without_its_reconstruction_or_as_it_was(variation, share):
    x = torch.tensor([[[[0.0, 1.0, 5.0]]]])
    settings = RestorationSettings(steps=1, rate=0.1, variation=variation)
    slope = 2 * x + 2.0 * share * torch.tensor([-1.0, 0.0, 1.0])
    torch.testing.assert_close(restored(x, None, towards_zero, settings, 2.0), x - 0.1 * slope)


def test_padding_stays_as_it_is():
    x = torch.ones(1, 1, 2, 2)
    valid = torch.tensor([[[[True, False], [True, True]]]])
    found = restored(x, valid, towards_zero, RestorationSettings(steps=2, rate=0.1), 0.0)
    torch.testing.assert_close(found, torch.where(valid, 0.64, 1.0))


def test_the_weight_that_changes_normals_least_is_found_on_so_many_of_them():
    def seen(x, valid):
        counted.append(len(x))
        return towards_zero(x, valid)

    counted: list[int] = []
    x = torch.tensor([0.0, 1.0]).repeat(5, 1, 1, 1)
    given = {"weights": (0.0, 3.0), "images": 3, "variation": "reconstruction"}
    settings = RestorationSettings(steps=1, rate=0.1, **given)
    found = changes_of_normals(iter([(x[:2], None), (x[2:], None)]), seen, settings)
    assert counted == [2, 2, 1, 1]
    assert found[0.0] == pytest.approx(0.1)  # of 0 and 1 the second moves by 0.1 * 2
    assert found[3.0] == pytest.approx((0.15 + 0.35) / 2)
    weight = torch.tensor(0.0)
    assert choose_weight(weight, iter([(x[:2], None), (x[2:], None)]), seen, settings)[
        "change of normals"
    ] == pytest.approx(0.1)
    assert weight == 0.0

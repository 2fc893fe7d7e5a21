import pytest
import torch

from secondread.networks.distillation.cosine import (
    cosine_distance,
    cosine_distance_map,
    deviating,
    hardest,
    levels_distance,
    scale_gradient,
    spread,
)


def two_positions():
    """Directions that agree at the first position and are at right angles at the second."""
    x = torch.tensor([[[1.0, 3.0], [0.0, 0.0]]])[..., None]
    y = torch.tensor([[[2.0, 0.0], [0.0, 1.0]]])[..., None]
    return x, y


def test_the_map_is_one_less_the_cosine_over_channels():
    torch.testing.assert_close(cosine_distance_map(*two_positions()).flatten(), torch.tensor([0.0, 1.0]))


def test_flattened_and_per_position_are_two_distances():
    x, y = two_positions()
    torch.testing.assert_close(cosine_distance(x, y, "per_position"), torch.tensor([0.5]))
    # (1·2 + 3·0) / (sqrt(10) · sqrt(5))
    torch.testing.assert_close(cosine_distance(x, y, "flattened"), torch.tensor([1 - 2 / 50**0.5]))


@pytest.mark.parametrize("form", ["flattened", "per_position"])
def test_positions_that_are_not_valid_do_not_count(form):
    x, y = two_positions()
    valid = torch.tensor([[[True, False]]])[..., None]
    torch.testing.assert_close(cosine_distance(x, y, form, valid), torch.zeros(1))


def test_levels_are_added_up_and_targets_take_no_gradient():
    x, y = two_positions()
    x.requires_grad_(), y.requires_grad_()
    loss = levels_distance([x, x], [y, y], "per_position")
    assert loss.item() == pytest.approx(1.0)
    loss.backward()
    assert x.grad is None
    assert y.grad is not None


def test_a_scaled_gradient_leaves_the_values_as_they_are():
    x = torch.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    scaled = scale_gradient(x, torch.tensor([[1.0], [0.1]]))
    torch.testing.assert_close(scaled, x)
    scaled.square().sum().backward()
    torch.testing.assert_close(x.grad, torch.tensor([[2.0, 4.0], [0.6, 0.8]]))


def test_hard_positions_by_deviation_and_by_share():
    distances = torch.tensor([0.0, 1.0, 2.0, 3.0, 10.0]).view(1, 1, 5, 1)
    assert deviating(distances, 1.0).flatten().tolist() == [False, False, False, False, True]
    assert deviating(distances, -3.0).all()
    assert hardest(distances, 0.4).flatten().tolist() == [False, False, False, True, True]
    valid = torch.tensor([True, True, True, True, False]).view(1, 1, 5, 1)
    # of 0 to 3 alone: mean 1.5, deviation 1.29
    assert deviating(distances, 1.0, valid).flatten().tolist() == [False, False, False, True, True]
    assert hardest(distances, 0.25, valid).flatten().tolist()[:4] == [False, False, False, True]


def test_spread_is_none_where_all_look_one_way_whatever_their_length():
    x = torch.rand(2, 1, 4, 4) * torch.tensor([1.0, 2.0, 3.0]).view(1, 3, 1, 1) + 1e-3
    same = torch.tensor([1.0, 2.0, 3.0]).view(1, 3, 1, 1) * torch.rand(2, 1, 4, 4)
    assert float(spread(same)) == pytest.approx(0, abs=1e-5)
    assert float(spread(torch.randn(2, 64, 8, 8))) > 0.95
    assert 0 < float(spread(x)) < 0.1

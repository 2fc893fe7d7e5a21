import math

import pytest
import torch

from secondread.detectors.blocks.adversarial.collapse import CollapseSigns, held_out_images, spread
from secondread.detectors.contract import Batch


def test_the_spread_is_the_mean_over_pairs_of_the_root_mean_square_difference():
    x = torch.tensor([0.0, 3.0, 4.0]).view(3, 1, 1, 1).expand(3, 1, 2, 2)
    assert spread(x) == pytest.approx((3 + 4 + 1) / 3)
    assert math.isnan(spread(x[:1]))


def test_what_was_not_measured_is_not_warned_of():
    assert CollapseSigns(wasserstein=True).warnings() == ()


@pytest.mark.parametrize(("width", "warned"), [(0.0, True), (0.1, True), (0.5, False), (1.0, False)])
def test_images_that_hardly_differ_are_warned_of(width, warned):
    reals = torch.randn(16, 1, 4, 4)
    signs = CollapseSigns(wasserstein=True)
    figures = signs.of_generated(width * reals, reals)
    assert figures["spread of generated images / of held-out normals"] == pytest.approx(width, abs=1e-5)
    assert any("generator has collapsed" in line for line in signs.warnings()) == warned
    signs = CollapseSigns(wasserstein=True)
    signs.of_rebuilt(width * reals, reals)
    assert any("hardly depends on the image" in line for line in signs.warnings()) == warned


def critic(real, fake, slope=1.0, wasserstein=True):
    signs = CollapseSigns(wasserstein=wasserstein)
    figures = signs.of_critic(torch.tensor(real), torch.tensor(fake), torch.tensor([slope]))
    return signs, figures


def test_a_wasserstein_critics_accuracies_are_taken_half_way_between_the_means():
    signs, figures = critic([4.0, 5.0, 1.0, 6.0], [0.0, 1.0, 2.0, 5.0])  # 3
    assert figures["critic's accuracy on held-out normals"] == 0.75
    assert figures["critic's accuracy on generated images"] == 0.75
    # 4: 3 of 4, 5: 3.5, 1: 1.5, 6: 4
    assert figures["share of pairs in which the critic prefers held-out normals"] == 12 / 16
    assert signs.warnings() == ()


@pytest.mark.parametrize(
    ("one", "words"),
    [
        (critic([1.0, 1.0], [1.0, 1.0], slope=0.0), "critic has collapsed"),
        (critic([1.0, 2.0], [0.0, 1.0], slope=30.0), "left its bounds"),
        (critic([0.0, 1.0], [3.0, 4.0]), "leads the wrong way"),
        (critic([20.0, 30.0], [-20.0, -9.0], wasserstein=False), "discriminator has won"),
    ],
)
def test_a_critic_that_leads_nowhere_is_warned_of(one, words):
    (line,) = one[0].warnings()
    assert words in line


def test_a_discriminator_that_errs_now_and_then_is_fine():
    signs, figures = critic([2.0, -1.0], [1.0, -2.0], wasserstein=False)
    assert figures["critic's accuracy on held-out normals"] == 0.5
    assert signs.warnings() == ()


@pytest.mark.parametrize(("side", "kept"), [(8, 64), (256, 32), (1024, 8)])
def test_of_large_images_fewer_are_taken(side, kept):
    batches = (Batch(torch.zeros(1, 1, side, side).expand(8, 1, side, side)) for _ in range(9))
    assert len(held_out_images(batches)) == kept

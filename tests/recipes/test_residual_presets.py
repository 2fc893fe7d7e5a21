"""The presets of residual flows against the paper's values."""

import torch

from secondread.recipes.build import build_detector
from secondread.recipes.recipe import Recipe


def block(channels, width, taps, activations=3):
    """Parameters of a residual block: weights and biases of its layers, a steepness of each activation."""
    layers = 2 * width * channels * taps + width**2
    return layers + 2 * width + channels + activations


def test_the_paper_preset_has_the_papers_shapes_and_sizes():
    with torch.device("meta"):
        detector = build_detector(Recipe.load("residual-flow-paper"), pretrained=False)
    flow = detector.normal
    assert [(level.channels, level.size, len(level.blocks)) for level in flow.levels] == [
        (3, (32, 32), 16), (12, (16, 16), 16), (48, (8, 8), 16), (3072, (), 4),
    ]  # fmt: skip
    expected = sum(16 * block(channels, 512, 9) + 17 * 2 * channels for channels in (3, 12, 48))
    expected += 4 * block(3072, 128, 1) + 5 * 2 * 3072 - 1
    assert sum(parameter.numel() for parameter in flow.parameters()) == expected
    first, *others = flow.blocks
    assert not first.network.preactivated
    assert all(other.network.preactivated for other in others)


def test_the_paper_preset_trains_as_the_paper_does():
    recipe = Recipe.load("residual-flow-paper")
    stage, flow = recipe.stages["normal"], recipe.detector["flow"]
    assert (stage.epochs, stage.batch_size, stage.optimiser.lr) == (1000, 64, 1e-3)
    assert (flow["coefficient"], flow["exact"], flow["scoring_exact"], flow["logit"]) == (0.98, 2, 20, 0.05)

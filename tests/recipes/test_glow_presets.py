"""The presets of two Glows against the paper's values."""

import pytest
import torch

from secondread.recipes.build import build_detector
from secondread.recipes.recipe import Recipe


def parameters(rank, levels, depth, width):
    """How many a Glow with unit priors and border has, for one channel."""
    total, channels, taps = 0, 1, 3**rank
    for _ in range(levels):
        channels *= 2**rank
        half = channels // 2
        mixing = channels**2 + 2 * channels
        hidden = width * (half + 1) * taps + width**2 + 4 * width
        last = 2 * half * (width + 1) * taps + 4 * half
        total += depth * (mixing + hidden + last)
        channels //= 2
    return total


@pytest.mark.parametrize(
    ("preset", "size", "levels", "millions"),
    [
        ("shibata-cxr", (512, 512), 7, 174),
        ("shibata-bct", (32, 128, 128), 4, 494),
        pytest.param("shibata-bct-sampling", (32, 64, 64), 4, 494, marks=pytest.mark.slow),
    ],
)
def test_the_paper_presets_have_the_papers_shapes_and_sizes(preset, size, levels, millions):
    with torch.device("meta"):
        detector = build_detector(Recipe.load(preset), pretrained=False)
    count = sum(parameter.numel() for parameter in detector.normal.parameters())
    assert count == parameters(len(size), levels, 32, 512)
    assert count / 1e6 == pytest.approx(millions, rel=0.01)
    assert sum(parameter.numel() for parameter in detector.parameters()) == 2 * count
    channels = [level.steps[0].mixing.matrix().shape[0] for level in detector.normal.levels]
    assert channels == [2 ** (len(size) * (n + 1) - n) for n in range(levels)]
    assert all(len(level.steps) == 32 for level in detector.normal.levels)
    assert detector.size == detector.normal.size == size


def test_the_paper_presets_train_as_the_paper_does():
    chest, brain = Recipe.load("shibata-cxr"), Recipe.load("shibata-bct")
    stages = [*chest.stages.items(), *brain.stages.items()]
    told = [(n, s.epochs, s.batch_size, s.optimiser.lr) for n, s in stages if n != "precision"]
    assert told == [
        ("normal", 200, 128, 1e-3), ("mixture", 200, 128, 1e-3),
        ("normal", 30, 1, 1e-4), ("mixture", 20, 1, 1e-4),
    ]  # fmt: skip
    assert [recipe.detector["bits"] for recipe in (chest, brain)] == [8, 7]
    assert all(recipe.detector["flow"]["scale"] == "shibata" for recipe in (chest, brain))


def test_the_sampling_preset_shows_each_volume_turned_seven_ways_within_two_degrees():
    sampling, brain = Recipe.load("shibata-bct-sampling"), Recipe.load("shibata-bct")
    assert sampling.detector == brain.detector
    for stage in ("normal", "mixture"):
        settings = sampling.stages[stage]
        assert (settings.augment, settings.rotation, settings.copies) == (("rotate",), 2.0, 6)
        assert settings.epochs == 7 * brain.stages[stage].epochs

"""A detector that was changed between two batches is asked as it is now."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from secondread.detectors.flows.aeflow import AEFlow
from secondread.networks.efficientnet_lite import EfficientNetLite
from secondread.networks.native import build
from secondread.scoring.scorer import Scorer

DIGESTS = ["0" * 64, "1" * 64]


@pytest.fixture
def detector(monkeypatch):
    monkeypatch.setenv(build.SWITCH, "1")
    tiny = AEFlow.tiny(2)
    torch.manual_seed(0)
    settings = tiny.settings.model_copy(
        update={
            "encoder": tiny.settings.encoder.model_copy(
                update={"name": "efficientnet_lite0", "layer": "stage3"}
            )
        }
    )
    return AEFlow(settings, tiny.channels, (64, 64), pretrained=False)


@pytest.fixture
def images():
    return np.random.default_rng(0).random((2, 1, 64, 64), np.float32)


def changes(detector):
    """Of its encoder, its normalisation, its flow and its decoder; the first makes a parameter anew."""
    encoder = detector.encoder.network
    assert isinstance(encoder, EfficientNetLite)
    yield lambda: setattr(encoder._conv_stem, "weight", nn.Parameter(encoder._conv_stem.weight * 100))
    yield lambda: encoder._blocks[-1]._bn2.running_mean.add_(1)
    yield lambda: detector.normalisation.mean.add_(0.5)
    yield lambda: detector.flow.blocks[1].offset.add_(0.5)
    yield lambda: detector.decoder.network[0].bias.add_(0.5)


def test_every_change_counts_in_the_next_batch(detector, images):
    scorer = Scorer(detector, precision="float32")
    before = scorer.batch(images, None, DIGESTS)
    for change in changes(detector):
        with torch.no_grad():
            change()
        found = scorer.batch(images, None, DIGESTS)
        fresh = Scorer(copy.deepcopy(detector), precision="float32").batch(images, None, DIGESTS)
        for name, values in found.parts.items():
            assert np.array_equal(values, fresh.parts[name])
        assert any(not np.array_equal(values, before.parts[name]) for name, values in found.parts.items())
        before = found

"""What a detector thinks of padding does not come into its score and map by interpolation and blur."""

import pytest
import torch
from in_memory import blobs, fit, score

from secondread.detectors import find
from secondread.detectors.blocks.feature_maps import FeatureMaps
from secondread.detectors.blocks.valid_positions import valid_on

FITTED = ("classic", "mutual-scoring", "patch-mixture")
"""Which cannot score before a fit."""


@pytest.mark.parametrize(
    "name",
    [
        "cflow", "classic", "csflow", "dinomaly", "fastflow", "feature-autoencoder", "feature-posterior",
        "mutual-scoring", "patch-mixture", "perceptual-ae", "rd4ad", "recontrast", "stfpm",
    ],
)  # fmt: skip
def test_cells_in_padding_reach_neither_score_nor_map(name, monkeypatch):
    kind = find(name)
    form = kind.tiny(2)
    changes = {"pool": "map"} if name == "csflow" else {}
    settings = type(form.settings).model_validate({**form.settings.model_dump(), **changes})
    detector = kind(settings, form.channels, form.size)
    if name in FITTED:
        fit(detector, blobs(12, form.size, channels=form.channels), steps=1)
    detector.eval()
    images = blobs(2, form.size, seed=3, channels=form.channels)
    valid = torch.ones(2, 1, *form.size, dtype=torch.bool)
    valid[..., form.size[1] // 2 :] = False
    plain, strange, seen = FeatureMaps.place, [0.0], []

    def place(self, values, level, **given):
        there = valid_on(valid[: len(values)], self.grids[level])
        seen.append(bool((~there).any()))
        return plain(self, torch.where(there, values, values + strange[0]), level, **given)

    monkeypatch.setattr(FeatureMaps, "place", place)
    found = []
    for amount in (0.0, 1e3):
        strange[0] = amount
        found.append(score(detector, images, valid))
    assert any(seen)
    for part, one in found[0].parts.items():
        torch.testing.assert_close(found[1].parts[part].values, one.values)
    for shown, one in found[0].maps.items():
        torch.testing.assert_close(found[1].maps[shown], one)

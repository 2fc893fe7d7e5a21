"""Every detector takes images of four channels, or says when it is built that it does not."""

from pathlib import Path

import numpy as np
import pytest
import torch

from secondread import detectors
from secondread.detectors.blocks.encoder_settings import encoder_kind
from secondread.scoring.image_source import ArraySource
from secondread.scoring.scorer import Scorer
from secondread.training.loop import train

CASES = [(name, rank) for name in detectors.DETECTORS for rank in sorted(detectors.find(name).ranks)]
FAMILIES = {"aeflow", "cutpaste", "padim", "stfpm", "vae"}
"""One detector of each kind."""
COHORTS = ("normal", "unlabelled", "abnormal", "auxiliary", "validation")


@pytest.mark.parametrize(
    ("name", "rank"),
    [
        pytest.param(n, r, id=f"{n}-{r}d", marks=[] if n in FAMILIES and r == 2 else [pytest.mark.slow])
        for n, r in CASES
    ],
)
def test_four_channels_are_learnt_from_or_refused_in_one_line(name: str, rank: int, tmp_path: Path) -> None:
    kind = detectors.find(name)
    tiny = kind.tiny(rank)
    generator = np.random.default_rng(0)

    def images(n: int) -> ArraySource:
        return ArraySource(generator.random((n, 4, *tiny.size), dtype=np.float32))

    torch.manual_seed(0)
    encoder = getattr(tiny.settings, "encoder", None)
    frozen = encoder is not None and not encoder_kind(encoder).learns
    if frozen and getattr(tiny.settings, "of", "features") in ("features", "patches"):
        with pytest.raises(
            ValueError, match=r"^encoder .* takes 1 or 3 channels, and preprocessing gives 4$"
        ):
            kind(tiny.settings, 4, tiny.size)
        return
    detector = kind(tiny.settings, 4, tiny.size)
    train(
        detector, {cohort: images(6) for cohort in COHORTS}, tiny.stages,
        seed=0, directory=tmp_path, device="cpu", precision="float32", progress=False,
    )  # fmt: skip
    for raw in Scorer(detector, device="cpu", precision="float32").set(images(2)):
        assert raw.finite.all()

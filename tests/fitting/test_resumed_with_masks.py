"""A fit that learns from auxiliary images and masks, stopped and continued."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from PIL import Image as Picture
from torch import Tensor, nn
from torch.nn import functional

from secondread.bundles.bundle import Bundle
from secondread.cohorts.manifest import Manifest
from secondread.cohorts.phantoms.make import make_phantoms
from secondread.detectors import DETECTORS
from secondread.detectors.contract import Batch, Batches, Detector, Scores, ScoringNoise, Stage, Step
from secondread.detectors.detector_settings import DetectorSettings
from secondread.errors import UserError
from secondread.fitting.fit import fit
from secondread.readings.score import score
from secondread.recipes.recipe import Recipe
from secondread.terminal.interruption import Interrupted


class PasterSettings(DetectorSettings):
    name: str = "paster"


class Paster(Detector):
    """Finds textures that cover half of a normal, and what masks of abnormal images mark."""

    Settings = PasterSettings
    part = "found"
    gives_map = True
    needs = frozenset({"normal", "abnormal", "auxiliary"})
    learns_from_masks = True
    stop_at: ClassVar[int | None] = None
    """Ctrl-C comes in the loss that is computed as the so many-th."""
    computed: ClassVar[int] = 0

    def build(self, *, pretrained: bool) -> None:
        self.network = nn.Conv2d(self.channels, 1, 3, padding=1)

    def stages(self) -> Iterator[Stage]:
        shares = {"normal": 0.5, "abnormal": 0.25, "auxiliary": 0.25}
        yield Stage("segmentation", shares, [Step((self.network,), self.loss)], validate=None)

    def loss(self, batches: Batches, generator: torch.Generator) -> dict[str, Tensor]:
        Paster.computed += 1
        if Paster.computed == Paster.stop_at:
            os.kill(os.getpid(), signal.SIGINT)
        normal, texture, outlined = (batches[name] for name in ("normal", "auxiliary", "abnormal"))
        half = torch.zeros_like(normal.images[:, :1])
        half[..., : half.shape[-1] // 2] = 1
        chosen = torch.randint(len(texture), (len(normal),), generator=generator)
        pasted = torch.where(half > 0, texture.images[chosen], normal.images)
        terms = {"pasted": functional.binary_cross_entropy_with_logits(self.network(pasted), half)}
        assert outlined.target is not None
        terms["outlined"] = functional.binary_cross_entropy_with_logits(
            self.network(outlined.images[outlined.has_target]),
            outlined.target[outlined.has_target].float(),
        )
        return terms

    def score(self, batch: Batch, noise: ScoringNoise, *, maps: bool) -> Scores:
        found = self.network(batch.images).float()
        return self.one_part(found.flatten(1).mean(1), found if maps else None)


@pytest.fixture
def films(tmp_path: Path) -> Manifest:
    path = make_phantoms(
        tmp_path / "films", seed=2, n_normal=20, n_abnormal=6, n_train_abnormal=4, size=(32, 32)
    )
    return Manifest.read(path)


@pytest.fixture
def textures(tmp_path: Path) -> Path:
    (tmp_path / "textures").mkdir()
    for number in range(4):
        values = np.random.default_rng(number).integers(0, 256, (20, 24)).astype(np.uint8)
        Picture.fromarray(values).save(tmp_path / "textures" / f"{number}.png")
    return tmp_path / "textures"


def run(films: Manifest, textures: Path, out: Path, *, stop_at: int | None = None, **more) -> Bundle:
    recipe = Recipe.from_mapping(
        {
            "preprocessing": {"size": [32, 32]},
            "detector": {"name": "paster"},
            "cohorts": {
                "validation": 0.2, "calibration": 0.3, "labelled": {"any": 4}, "auxiliary": str(textures),
            },
            "stages": {"segmentation": {"epochs": 3, "batch_size": 4, "augment": ["flip", "rotate"]}},
        }
    )  # fmt: skip
    Paster.computed, Paster.stop_at = 0, stop_at
    return fit(
        recipe, films, out, cache=out.parent / "cache", workers=0, device="cpu", progress=False, **more
    )


def test_a_stopped_fit_goes_on_to_the_same_scores_and_refuses_other_images_and_masks(
    films: Manifest, textures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(DETECTORS.built_in, "paster", __name__)
    whole = run(films, textures, tmp_path / "whole")
    with pytest.raises(Interrupted):
        run(films, textures, tmp_path / "bundle", stop_at=4)

    texture = textures / "0.png"
    row = next(row for row in films.rows if row.split == "train" and row.label == "abnormal")
    for file, problem in (
        (texture, "cohort auxiliary"),
        (Path(films.mask_reference(row)), "masks of cohort"),
    ):
        before = file.read_bytes()
        values = np.asarray(Picture.open(file)).copy()
        values[:4] = 255 - values[:4]
        Picture.fromarray(values).save(file)
        with pytest.raises(UserError, match=f"checkpoint there is of another fit .*{problem}"):
            run(films, textures, tmp_path / "bundle", resume=True)
        file.write_bytes(before)

    resumed = run(films, textures, tmp_path / "bundle", resume=True)
    assert Paster.computed < 3 * 4
    tested = films.where("split=test")
    first, second = (score(bundle, tested, workers=0).rows for bundle in (whole, resumed))
    assert [reading.score for reading in first] == [reading.score for reading in second]

"""Does a method find what is drawn into a texture? Stripes, and stripes with a disc of them turned by 90°.

What is drawn has the texture's own values, so that no brightness tells it. The auxiliary images, where the
recipe's detector learns from such, are textures of four other kinds. 100 normals to learn from, 40 held out,
60 normal and 60 abnormal to judge.

    python benchmarks/results/drawn_textures.py uninformed-students --set detector.patches=[17,33] \\
        --set stages.students.batch_size=2
"""

from __future__ import annotations

import argparse
import math

import numpy as np
import torch
from torch import Tensor

from secondread.anomalies.textures import drawn_textures
from secondread.metrics.roc import auroc
from secondread.recipes.build import build_detector
from secondread.recipes.recipe import Recipe
from secondread.scoring.image_source import ArraySource
from secondread.scoring.scorer import Scorer
from secondread.training.loop import train

SIDE, PERIOD = 64, 9
CPU = torch.device("cpu")


def stripes(count: int, seed: int) -> Tensor:
    """Bent stripes of one direction and period, of any phase, with noise: `[count, 1, SIDE, SIDE]`."""
    generator = torch.Generator().manual_seed(seed)
    along = torch.arange(SIDE).float()
    phase = 2 * math.pi * torch.rand(count, 1, 1, generator=generator)
    angle = math.radians(30) + 0.05 * torch.randn(count, 1, 1, generator=generator)
    coarse = torch.rand(count, 1, 5, 5, generator=generator)
    bend = torch.nn.functional.interpolate(coarse, (SIDE, SIDE), mode="bicubic", align_corners=True)[:, 0]
    across = along[None, None] * angle.cos() + along[None, :, None] * angle.sin()
    clean = 0.5 + 0.25 * torch.sin(2 * math.pi * across / PERIOD + phase + 2 * bend)
    return (clean + 0.04 * torch.randn(clean.shape, generator=generator)).clamp(0, 1)[:, None]


def with_turned_discs(images: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    """Images with a disc of 5 to 8 pixels in which they are turned, and where it is."""
    generator = torch.Generator().manual_seed(seed)
    along = torch.arange(SIDE).float()
    centre = 12 + 40 * torch.rand(2, len(images), 1, 1, generator=generator)
    radius = 5 + 3 * torch.rand(len(images), 1, 1, generator=generator)
    square = (along[None, :, None] - centre[0]).square() + (along[None, None] - centre[1]).square()
    where = (square < radius.square())[:, None]
    return torch.where(where, images.rot90(1, (2, 3)), images), where


def standardised(images: Tensor) -> Tensor:
    """Each over 5 standard deviations about its mean."""
    axes = (1, 2, 3)
    scaled = (images - images.mean(axes, keepdim=True)) / images.std(axes, keepdim=True)
    return (scaled / 5 + 0.5).clamp(0, 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("recipe")
    parser.add_argument("--set", action="append", default=[])
    given = parser.parse_args()
    recipe = Recipe.load(given.recipe, set=[*given.set, f"preprocessing.size=[{SIDE},{SIDE}]"])
    torch.manual_seed(0)
    detector = build_detector(recipe)
    abnormal, where = with_turned_discs(stripes(60, 4), 5)
    cohorts = {"normal": stripes(100, 1), "validation": stripes(40, 2)}
    if "auxiliary" in detector.uses:
        cohorts["auxiliary"] = drawn_textures(torch.Generator().manual_seed(3), 400, (SIDE, SIDE), CPU)
    sources = {name: ArraySource(standardised(images).numpy()) for name, images in cohorts.items()}
    train(detector, sources, recipe.stages, seed=0, device="cpu", precision="float32", progress=False)
    judged = standardised(torch.cat((stripes(60, 3), abnormal)))
    found = list(Scorer(detector, precision="float32").set(ArraySource(judged.numpy())))
    scores = np.concatenate([raw.parts[detector.part] for raw in found])
    print(f"AUROC of images {auroc(np.repeat([0, 1], 60), scores):.3f}")
    shown = [raw.maps[detector.part] for raw in found if raw.maps is not None]
    if shown:
        pixels = auroc(where.numpy().ravel().astype(int), np.concatenate(shown)[60:].ravel())
        print(f"AUROC of the abnormal images' pixels {pixels:.3f}")


if __name__ == "__main__":
    main()

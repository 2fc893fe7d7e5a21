"""Why the log posterior of two three-dimensional Glows ranks by chance: one change at a time.

    python benchmarks/results/volumes/lesion_volumes.py --phantoms --volumes 360 --test 0.3 --seed 10 -o heads
    OMP_NUM_THREADS=1 python benchmarks/results/volumes/posterior_volumes.py heads/manifest.csv [VARIANT ...]

`glow-volume-small` learns from the normals and from a mixture of which `--rate` is abnormal, and is changed
in one respect a variant (`VARIANTS`). One line of JSON a fit: the AUROC of the test volumes by

    posterior, likelihood  the parts as they are, means over the volume
    level 0, 1, 2          the posterior's terms of one level alone, from the finest; coarse: 1 and 2
    … top                  the mean of the highest hundredth of the map, blurred by one voxel
    standardised           likelihood: less the normals' mean at each voxel, by their deviation there

and beside it what the ratio is up against, its deviation among normals in bits and the mean rise in abnormal
volumes. The first line has the trivial baselines: mean intensity, and distance from the nearest normal. A run
on development volumes chooses; volumes of another seed judge once.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from secondread.cohorts.manifest import Manifest
from secondread.metrics.roc import auroc
from secondread.networks.gaussian_blur import gaussian_blur
from secondread.preprocessing.prepared_set import prepare_set
from secondread.preprocessing.preprocessing import Preprocessing
from secondread.recipes.build import build_detector
from secondread.recipes.recipe import Recipe
from secondread.scoring.image_source import ArraySource
from secondread.training.loop import train

Values = NDArray[np.float32]


@dataclass(frozen=True)
class Variant:
    """settings   of the recipe
    shared      the mixture holds the normals as well, as on the paper's chest films
    turned      copies of each volume, turned by up to ±2° about the axis of slices, as in the paper
    normals     how many learn; None = all
    """

    settings: tuple[str, ...] = ()
    shared: bool = False
    turned: int = 1
    normals: int | None = None


STEPS = "stages.mixture.steps"
VARIANTS = {
    "as it is": Variant(),
    "same start": Variant(("detector.start=same",)),
    "trained start": Variant(("detector.start=trained",)),
    "trained start, 100 steps": Variant(("detector.start=trained", f"{STEPS}=100")),
    "shared": Variant(shared=True),
    "shared, trained start": Variant(("detector.start=trained",), shared=True),
    "shared, trained start, 100 steps": Variant(("detector.start=trained", f"{STEPS}=100"), shared=True),
    "16 draws": Variant(("detector.draws=16",)),
    "6 bits": Variant(("detector.bits=6",)),
    "turned": Variant(turned=7),
    "half the normals": Variant(normals=100),
}


def prepared(manifest: Manifest, recipe: Recipe, split: str, label: str) -> Values:
    rows = [row for row in manifest.rows if (row.split, row.label) == (split, label)]
    found = prepare_set(
        [manifest.reference(row) for row in rows], Preprocessing(recipe.preprocessing), workers=0
    )
    images, valid = found.batch(list(range(len(found))))
    assert valid is None
    return images


def turned(images: Values, copies: int, random: np.random.Generator) -> Values:
    """The volumes and copies of them, turned in the plane of their slices."""
    if copies == 1:
        return images
    given = torch.from_numpy(images)
    made = [given]
    for _ in range(copies - 1):
        angles = torch.from_numpy(np.radians(random.uniform(-2, 2, len(images)))).float()
        matrix = torch.zeros(len(images), 3, 4)
        matrix[:, 0, 0] = matrix[:, 1, 1] = angles.cos()
        matrix[:, 0, 1], matrix[:, 1, 0] = -angles.sin(), angles.sin()
        matrix[:, 2, 2] = 1
        grid = torch.nn.functional.affine_grid(matrix, list(given.shape), align_corners=False)
        made.append(torch.nn.functional.grid_sample(given, grid, padding_mode="border", align_corners=False))
    return torch.cat(made).numpy()


@torch.no_grad()
def by_level(model: Any, y: Tensor) -> Tensor:
    """-log2 p of each level's terms, `[levels, N]`."""
    leaving = model._descend(y, per_position=False)
    nats = [
        level.prior.log_density_map(part.z, part.context).flatten(1).sum(dim=1) + part.log_determinant
        for level, part in zip(model.levels, leaving, strict=True)
    ]
    return -torch.stack(nats).double() / np.log(2)


@torch.no_grad()
def figures(detector: Any, images: Values, draws: int) -> dict[str, NDArray[np.float64]]:
    """Of each volume: levels' terms of both models in bits, and the maps, means over draws of the noise."""
    generator = torch.Generator().manual_seed(1)
    given = torch.from_numpy(images)
    levels: list[Tensor] = []
    maps: list[Tensor] = []
    for _ in range(draws):
        y = detector.dequantisation.noisy(given, torch.rand(given.shape, generator=generator))
        chunks = y.split(16)
        levels.append(torch.stack([
            torch.cat([by_level(model, part) for part in chunks], dim=1)
            for model in (detector.normal, detector.second)
        ]))  # fmt: skip
        maps.append(torch.cat([detector._bits(part) for part in chunks], dim=1))
    both = torch.stack(maps).mean(dim=0)
    blurred = torch.stack([gaussian_blur(one, 1.0) for one in both])[:, :, 0]
    return {
        "levels": torch.stack(levels).mean(dim=0).numpy(),
        "maps": blurred.double().numpy(),
    }


def top(maps: NDArray[np.float64]) -> NDArray[np.float64]:
    flat = np.sort(maps.reshape(len(maps), -1), axis=1)
    return np.asarray(flat[:, -max(1, flat.shape[1] // 100) :].mean(axis=1))


def one_fit(
    variant: Variant, cohorts: dict[str, Values], test: dict[str, Values], seed: int
) -> dict[str, float]:
    recipe = Recipe.load("glow-volume-small", set=variant.settings)
    random = np.random.default_rng(seed)
    normal, mixture, held_out = (cohorts[name] for name in ("normal", "unlabelled", "validation"))
    normal = normal[: variant.normals]
    if variant.shared:
        mixture = np.concatenate((mixture, normal))
    detector = build_detector(recipe.model_copy(update={"seed": seed}))
    sources = {
        "normal": ArraySource(turned(normal, variant.turned, random)),
        "unlabelled": ArraySource(turned(mixture, variant.turned, random)),
        "validation": ArraySource(held_out),
    }
    began = time.process_time()
    train(detector, sources, recipe.stages, seed=seed, device="cpu", progress=False)
    spent = time.process_time() - began
    draws = detector.settings.draws
    known = figures(detector, held_out, draws)
    found = {label: figures(detector, images, draws) for label, images in test.items()}
    label = np.repeat([False, True], [len(test["normal"]), len(test["abnormal"])])

    def area(values: NDArray[np.float64]) -> float:
        return round(auroc(label, values), 3)

    def joined(of: Any) -> NDArray[np.float64]:
        return np.concatenate([of(found[name]) for name in ("normal", "abnormal")])

    def posterior(one: dict[str, NDArray[np.float64]]) -> NDArray[np.float64]:
        return np.asarray(one["levels"][0] - one["levels"][1])

    mean, deviation = known["maps"][0].mean(axis=0), known["maps"][0].std(axis=0)
    floor = 0.25 * deviation.mean()
    bits = {name: posterior(one).sum(axis=0) for name, one in found.items()}
    return {
        "posterior": area(joined(lambda one: posterior(one).sum(axis=0))),
        "likelihood": area(joined(lambda one: one["levels"][0].sum(axis=0))),
        **{
            f"level {n}": area(joined(lambda one, n=n: posterior(one)[n]))
            for n in range(len(found["normal"]["levels"][0]))
        },
        "coarse": area(joined(lambda one: posterior(one)[1:].sum(axis=0))),
        "posterior top": area(joined(lambda one: top(one["maps"][0] - one["maps"][1]))),
        "likelihood top": area(joined(lambda one: top(one["maps"][0]))),
        "standardised top": area(joined(lambda one: top((one["maps"][0] - mean) / (deviation + floor)))),
        "sd of normals, bits": round(float(bits["normal"].std()), 1),
        "rise in abnormal, bits": round(float(bits["abnormal"].mean() - bits["normal"].mean()), 1),
        "seconds": round(spent),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("variants", nargs="*", help="of VARIANTS; none = all")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--rate", type=float, default=0.3, help="share of the mixture that is abnormal")
    given = parser.parse_args()
    manifest, recipe = Manifest.read(given.manifest), Recipe.load("glow-volume-small")
    normals, ill = (prepared(manifest, recipe, "train", label) for label in ("normal", "abnormal"))
    test = {label: prepared(manifest, recipe, "test", label) for label in ("normal", "abnormal")}
    healthy = round(len(ill) * (1 - given.rate) / given.rate)
    held_out = len(normals) // 5
    cohorts = {
        "validation": normals[:held_out],
        "unlabelled": np.concatenate((normals[held_out : held_out + healthy], ill)),
        "normal": normals[held_out + healthy :],
    }
    sizes = {name: len(images) for name, images in cohorts.items()} | {"test": sum(map(len, test.values()))}
    label = np.repeat([False, True], [len(test["normal"]), len(test["abnormal"])])
    every = np.concatenate((test["normal"], test["abnormal"])).reshape(len(label), -1)
    away = [float(np.square(cohorts["normal"].reshape(-1, every.shape[1]) - x).sum(1).min()) for x in every]
    trivial = {"mean intensity": auroc(label, every.mean(axis=1)), "nearest": auroc(label, np.array(away))}
    print(json.dumps({**sizes, **{name: round(value, 3) for name, value in trivial.items()}}), flush=True)
    for name in given.variants or VARIANTS:
        for seed in given.seeds:
            print(
                json.dumps({"variant": name, "seed": seed, **one_fit(VARIANTS[name], cohorts, test, seed)}),
                flush=True,
            )


if __name__ == "__main__":
    main()

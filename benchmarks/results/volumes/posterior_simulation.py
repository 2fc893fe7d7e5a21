"""How many volumes the log posterior of two three-dimensional Glows needs, by simulation.

    OMP_NUM_THREADS=1 python benchmarks/results/volumes/posterior_simulation.py [ROW ...] [--seeds 0 1 2]

Heads are drawn as phantoms are, any number of them. A lesion is an ellipsoid in the tissue, of `share` of the
head's voxels, brighter or darker by `contrast` deviations of the tissue: 1.4826 times the median distance
from its median, in depths above a third of the greatest, which leaves the skull out. Every row changes one
thing against `base`. One line of JSON a fit:

    posterior … nearest  AUROC of 200 normal and 200 abnormal volumes by the posterior, by its coarse level
                         alone, by the likelihood, by its map's highest hundredth, and by two baselines
    evidence             by how many bits the normal model finds a volume less likely for its lesion: the mean
                         over the abnormal volumes of the difference from the same volume without it
    rise                 the same difference of the posterior
    sd                   of the posterior among normal volumes, bits, which `rise` has to stand out from
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import dataclass

import numpy as np
from lesion_volumes import foreground
from numpy.typing import NDArray
from posterior_volumes import figures, top, turned
from scipy import ndimage

from secondread.cohorts.phantoms.head import draw_head
from secondread.metrics.roc import auroc
from secondread.recipes.build import build_detector
from secondread.recipes.recipe import Recipe
from secondread.scoring.image_source import ArraySource
from secondread.training.loop import train

Values = NDArray[np.float64]
Images = NDArray[np.float32]
TESTED, HELD_OUT, DEPTH = 200, 40, 1 / 3


@dataclass(frozen=True)
class Row:
    """normals   that learn; as many unlabelled ones, of which `rate` are abnormal
    start     of the second model (`detector.start`)
    shared    the mixture holds the normals as well
    """

    normals: int = 200
    rate: float = 0.3
    share: float = 0.01
    contrast: float = 1.0
    size: tuple[int, int, int] = (8, 16, 16)
    steps: int = 600
    second_steps: int | None = None
    bits: int = 5
    draws: int = 4
    start: str = "own"
    shared: bool = False
    turned: int = 1


LARGE = {"contrast": 4.0, "share": 0.04}
ROWS = {
    "base": Row(),
    "50 normals": Row(normals=50),
    "800 normals": Row(normals=800),
    "3,200 normals": Row(normals=3200),
    "large lesions": Row(**LARGE),
    "50 normals, large lesions": Row(normals=50, **LARGE),
    "800 normals, large lesions": Row(normals=800, **LARGE),
    "3,200 normals, large lesions": Row(normals=3200, **LARGE),
    "lesions of 4 deviations": Row(contrast=4.0),
    "trained start": Row(start="trained"),
    "trained start, a sixth of the steps": Row(start="trained", second_steps=100),
    "same start": Row(start="same"),
    "shared": Row(shared=True),
    "all abnormal": Row(rate=1.0),
    "16 draws": Row(draws=16),
    "7 bits": Row(bits=7),
    "turned": Row(turned=7),
    "12×24×24": Row(size=(12, 24, 24)),
    "3,200 normals, 2,400 steps": Row(normals=3200, steps=2400),
    "3,200 normals, 2,400 steps, large lesions": Row(normals=3200, steps=2400, **LARGE),
}  # fmt: skip


def head(row: Row, random: np.random.Generator) -> tuple[Values, Values]:
    """A volume over its 1st to 99th percentile within the foreground, in 0 … 1, without and with a lesion."""
    values, _ = draw_head(row.size, "", random, random)
    inside = foreground(values)
    depth = ndimage.distance_transform_edt(np.pad(inside, 1))[(slice(1, -1),) * 3]
    tissue = depth > DEPTH * depth.max()
    median = np.median(values[tissue])
    deviation = 1.4826 * np.median(np.abs(values[tissue] - median))
    places = np.argwhere(tissue)
    centre = places[random.integers(len(places))]
    away = (((np.indices(row.size).T - centre) * random.uniform(0.8, 1.25, 3)) ** 2).sum(axis=-1).T
    away[~tissue] = np.inf
    count = min(max(1, round(row.share * int(inside.sum()))), int(tissue.sum()))
    lesion = away <= np.partition(away.ravel(), count - 1)[count - 1]
    ill = values + lesion * (random.choice((-1, 1)) * row.contrast * deviation)
    found = []
    for one in (values, ill):
        low, high = np.percentile(one[inside], (1, 99))
        found.append(np.clip((one - low) / (high - low), 0, 1))
    return found[0], found[1]


def pairs(row: Row, count: int, random: np.random.Generator) -> tuple[Images, Images]:
    """`[count, 1, *size]` without lesions, and the same volumes with them."""
    drawn = np.array([head(row, random) for _ in range(count)], np.float32)
    return drawn[:, 0, None], drawn[:, 1, None]


def one_fit(row: Row, seed: int) -> dict[str, float]:
    random = np.random.default_rng(seed)
    healthy, ill = pairs(row, TESTED, random)
    held_out, test = (
        pairs(row, HELD_OUT, random)[0],
        {"normal": pairs(row, TESTED, random)[0], "abnormal": ill},
    )
    normal = turned(pairs(row, row.normals, random)[0], row.turned, random)
    mixture, with_lesions = pairs(row, row.normals, random)
    abnormal = round(row.rate * row.normals)
    mixture[:abnormal] = with_lesions[:abnormal]
    mixture = turned(mixture, row.turned, random)
    if row.shared:
        mixture = np.concatenate((mixture, normal))
    settings = [
        f"preprocessing.size={list(row.size)}", "detector.flow.levels=2", "detector.flow.width=32",
        f"detector.bits={row.bits}", f"detector.draws={row.draws}", f"detector.start={row.start}",
        f"stages.normal.steps={row.steps}", f"stages.mixture.steps={row.second_steps or row.steps}",
        "stages.normal.batch_size=8", "stages.mixture.batch_size=8",
    ]  # fmt: skip
    recipe = Recipe.load("glow-volume-small", set=settings)
    detector = build_detector(recipe.model_copy(update={"seed": seed}))
    sources = {
        name: ArraySource(images)
        for name, images in (("normal", normal), ("unlabelled", mixture), ("validation", held_out))
    }
    began = time.process_time()
    train(detector, sources, recipe.stages, seed=seed, device="cpu", progress=False)
    given = {**test, "without": healthy}
    found = {label: figures(detector, images, row.draws) for label, images in given.items()}
    label = np.repeat([False, True], TESTED)
    every = np.concatenate((test["normal"], test["abnormal"])).reshape(2 * TESTED, -1)
    flat = normal.reshape(len(normal), -1)
    nearest = np.array([np.square(flat - one).sum(axis=1).min() for one in every])
    bits = {name: (one["levels"][0] - one["levels"][1]).sum(axis=0) for name, one in found.items()}
    first = {name: one["levels"][0].sum(axis=0) for name, one in found.items()}
    coarse = {name: (one["levels"][0] - one["levels"][1])[1:].sum(axis=0) for name, one in found.items()}
    highest = {name: top(one["maps"][0]) for name, one in found.items()}

    def area(of: dict[str, Values]) -> float:
        return round(auroc(label, np.concatenate((of["normal"], of["abnormal"]))), 3)

    return {
        "posterior": area(bits),
        "coarse": area(coarse),
        "likelihood": area(first),
        "likelihood top": area(highest),
        "mean intensity": round(auroc(label, every.mean(axis=1)), 3),
        "nearest": round(auroc(label, nearest), 3),
        "evidence": round(float((first["abnormal"] - first["without"]).mean()), 1),
        "rise": round(float((bits["abnormal"] - bits["without"]).mean()), 1),
        "sd": round(float(bits["normal"].std()), 1),
        "seconds": round(time.process_time() - began),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("rows", nargs="*", help="of ROWS; none = all")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    given = parser.parse_args()
    for name in given.rows or ROWS:
        for seed in given.seeds:
            print(json.dumps({"row": name, "seed": seed, **one_fit(ROWS[name], seed)}), flush=True)


if __name__ == "__main__":
    main()

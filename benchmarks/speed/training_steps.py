"""A training round of each stage in the project's loop, beside a plain PyTorch loop of the same network.

    OMP_NUM_THREADS=1 python benchmarks/speed/training_steps.py ae vae denoising-ae [--set KEY=VALUE]
    OMP_NUM_THREADS=1 python benchmarks/speed/training_steps.py --backbone

The plain loop takes the same detector's losses on batches of `torch.utils.data.DataLoader` over the same
images in memory, with `torch.optim` as it comes, backward, step, and nothing else: no log, no checkpoint, no
check that values are finite, no held-out normals. Both loops take turns, and the median of all rounds but the
first ones of each turn is told, with the ratio. `--backbone` compares the shared autoencoder with the layers
of MedIAnomaly's published network, written down plainly, at its batch of 64 images of 64x64.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import time
from collections.abc import Callable, Iterator, Mapping

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from secondread.detectors.contract import Batch, Detector, Stage
from secondread.detectors.detector_settings import OptimiserSettings, StageSettings
from secondread.networks.reconstruction import Autoencoder
from secondread.recipes.build import build_detector
from secondread.recipes.recipe import Recipe
from secondread.scoring.image_source import ArraySource
from secondread.training.loop import train
from secondread.training.optimisers import step_parameters

WARM = 2
"""Rounds at the start of a turn that do not count."""


def images_of(recipe: Recipe, count: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    size = recipe.detector_size
    coarse = torch.from_numpy(rng.random((count, recipe.preprocessing.channels, *(n // 8 for n in size))))
    mode = {2: "bilinear", 3: "trilinear"}[len(size)]
    found: np.ndarray = nn.functional.interpolate(coarse.float(), size=size, mode=mode).numpy()
    return found


def ours(recipe: Recipe, images: np.ndarray, rounds: int) -> dict[str, list[float]]:
    """Seconds of the rounds of each stage."""
    detector = build_detector(recipe)
    cohorts = {name: ArraySource(images) for name in sorted(detector.needs | detector.uses)}
    stages = {
        name: settings.model_copy(
            update={"steps": rounds, "epochs": None, "keep": "last", "early_stop": None, "watch": ()}
        )
        for name, settings in recipe.stages.items()
    }
    found: dict[str, list[float]] = {}
    last = ("", 0.0)

    def note(stage: str, epoch: int, number: int) -> None:
        nonlocal last
        now = time.perf_counter()
        if last[0] == stage:
            found.setdefault(stage, []).append(now - last[1])
        last = (stage, time.perf_counter())

    train(
        detector, cohorts, stages, seed=0, device="cpu", precision="float32", progress=False, after_round=note
    )
    return {stage: seconds[WARM:] for stage, seconds in found.items()}


def plain(recipe: Recipe, images: np.ndarray, rounds: int) -> dict[str, list[float]]:
    detector = build_detector(recipe)
    return {
        stage.name: plain_stage(detector, stage, recipe.stages[stage.name], torch.from_numpy(images), rounds)
        for stage in detector.stages()
        if stage.steps
    }


def plain_stage(
    detector: Detector, stage: Stage, settings: StageSettings, images: Tensor, rounds: int
) -> list[float]:
    generator = torch.Generator().manual_seed(0)
    share = settings.batch_size // len(stage.on)
    loaders = {
        name: endless(DataLoader(TensorDataset(images), share, shuffle=True, drop_last=True))
        for name in stage.on
    }

    def batches() -> dict[str, Batch]:
        return {name: Batch(next(loader)) for name, loader in loaders.items()}

    detector.eval()
    if stage.prepare is not None:
        with torch.no_grad():
            stage.prepare(iter([batches()]), generator)
    optimisers = [plain_optimiser(step_parameters(step), settings.optimiser) for step in stage.steps]
    detector.train()
    for module in detector.children():
        trained = {id(p) for step in stage.steps for p in step_parameters(step)}
        module.train(any(id(p) in trained for p in module.parameters()))
    most = max(step.repeats for step in stage.steps)
    found = []
    for _ in range(rounds):
        begun = time.perf_counter()
        dealt = [batches() for _ in range(most)]
        for step, optimiser in zip(stage.steps, optimisers, strict=True):
            mine = {id(p) for p in step_parameters(step)}
            for parameter in detector.parameters():
                parameter.requires_grad_(id(parameter) in mine)
            for batch in dealt[most - step.repeats :]:
                optimiser.zero_grad()
                loss = torch.stack(list(step.loss(batch, generator).values())).sum()
                loss.backward()
                optimiser.step()
                if step.after is not None:
                    with torch.no_grad():
                        step.after()
        found.append(time.perf_counter() - begun)
    return found[WARM:]


def endless(loader: DataLoader[tuple[Tensor, ...]]) -> Iterator[Tensor]:
    while True:
        for (images,) in loader:
            yield images


def plain_optimiser(parameters: list[nn.Parameter], settings: OptimiserSettings) -> torch.optim.Optimizer:
    kinds: Mapping[str, Callable[..., torch.optim.Optimizer]] = {
        "adam": torch.optim.Adam,
        "adamw": torch.optim.AdamW,
        "adamax": torch.optim.Adamax,
        "sgd": torch.optim.SGD,
        "rmsprop": torch.optim.RMSprop,
    }
    return kinds[settings.name](parameters, settings.lr, weight_decay=settings.weight_decay)


def medianomaly(width: int = 16, hidden: int = 1024, latent: int = 16) -> nn.Module:
    """The layers of MedIAnomaly's autoencoder for images of 64x64, as its paper and code state them."""
    widths = (1, width, 2 * width, 4 * width, 4 * width)
    down, up = [], []
    for before, after in itertools.pairwise(widths):
        down += [nn.Conv2d(before, after, 4, 2, 1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
    cells = widths[-1] * 16
    middle = [
        nn.Flatten(), nn.Linear(cells, hidden), nn.BatchNorm1d(hidden), nn.ReLU(), nn.Linear(hidden, latent),
        nn.Linear(latent, hidden), nn.BatchNorm1d(hidden), nn.ReLU(), nn.Linear(hidden, cells),
        nn.Unflatten(1, (widths[-1], 4, 4)),
    ]  # fmt: skip
    for before, after in zip(widths[:1:-1], widths[-2:0:-1], strict=True):
        up += [nn.ConvTranspose2d(before, after, 4, 2, 1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
    return nn.Sequential(*down, *middle, *up, nn.ConvTranspose2d(width, 1, 4, 2, 1, bias=False))


def backbone(turns: int, rounds: int) -> None:
    torch.manual_seed(0)
    shared, published = Autoencoder(2, 1, 1, (64, 64), hidden=1024), medianomaly()
    counts = [sum(p.numel() for p in network.parameters()) for network in (shared, published)]
    x = torch.rand(64, 1, 64, 64)
    seconds: list[list[float]] = [[], []]
    for _ in range(turns):
        for network, found in zip((shared, published), seconds, strict=True):
            optimiser = torch.optim.Adam(network.parameters(), 1e-3)
            for number in range(rounds):
                begun = time.perf_counter()
                optimiser.zero_grad()
                (network(x) - x).square().mean().backward()
                optimiser.step()
                if number >= WARM:
                    found.append(time.perf_counter() - begun)
    mine, theirs = (1000 * statistics.median(found) for found in seconds)
    print(
        f"shared backbone {mine:.1f} ms ({counts[0]:,} parameters), MedIAnomaly's layers {theirs:.1f} ms "
        f"({counts[1]:,}): ratio {mine / theirs:.2f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("presets", nargs="*")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--images", type=int, default=256)
    parser.add_argument("--backbone", action="store_true")
    given = parser.parse_args()
    torch.set_num_threads(1)
    if given.backbone:
        backbone(given.turns, given.rounds)
    if given.presets:
        print("| preset, stage | batch | ours, ms a round | plain, ms | ratio |\n|---|---|---|---|---|")
    for name in given.presets:
        recipe = Recipe.load(name, set=given.set)
        images = images_of(recipe, given.images)
        told: dict[str, tuple[list[float], list[float]]] = {}
        for _ in range(given.turns):
            for loop, which in ((ours, 0), (plain, 1)):
                for stage, seconds in loop(recipe, images, given.rounds).items():
                    told.setdefault(stage, ([], []))[which].extend(seconds)
        for stage, (mine, theirs) in told.items():
            if mine and theirs:
                a, b = 1000 * statistics.median(mine), 1000 * statistics.median(theirs)
                batch = recipe.stages[stage].batch_size
                print(f"| `{name}`, {stage} | {batch} | {a:.1f} | {b:.1f} | {a / b:.2f} |", flush=True)


if __name__ == "__main__":
    main()

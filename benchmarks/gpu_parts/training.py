"""Ten steps of a preset at its paper's size: seconds, memory, and the share of a matrix product's rate."""

from __future__ import annotations

import statistics
import time
from contextlib import suppress

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from gpu_parts.bench import Bench
from secondread.detectors.contract import Batch, Detector, Stage
from secondread.networks.as_graph import writing_a_graph
from secondread.recipes.build import build_detector
from secondread.recipes.recipe import Recipe
from secondread.scoring.device import on_device
from secondread.scoring.image_source import ArraySource
from secondread.training.loop import train

STEPS, WARM = 10, 2
PRESETS = {
    "shibata-cxr": [
        "preprocessing.size=[32,32]",
        "detector.flow={levels: 2, depth: 2, width: 16}",
        "detector.initial_images=4",
        "stages.normal.batch_size=2",
    ],
    "shibata-bct": [
        "preprocessing.size=[8,16,16]",
        "detector.flow={levels: 2, depth: 2, width: 16}",
        "detector.initial_images=2",
    ],
    "aeflow-paper": [
        "preprocessing.size=[64,64]",
        "detector.encoder.name=resnet18",
        "detector.flow.blocks=2",
        "detector.flow.hidden=16",
        "stages.flow.batch_size=2",
    ],
}
"""What makes each small enough to try the script."""


class Enough(Exception):
    """The steps that were asked for are taken, or the time is up."""


def recipe_of(preset: str, *, small: bool) -> Recipe:
    """With random weights in a frozen encoder, which the speed does not depend on."""
    weights = ["detector.encoder.weights=random"] if preset == "aeflow-paper" else []
    return Recipe.load(preset, set=[*weights, *(PRESETS[preset] if small else [])])


def images_of(recipe: Recipe, count: int) -> np.ndarray:
    """Smooth random images of the recipe's size, as arrays."""
    size = recipe.detector_size
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(count, recipe.preprocessing.channels, *(n // 8 for n in size), generator=generator)
    mode = "bilinear" if len(size) == 2 else "trilinear"
    found: np.ndarray = torch.nn.functional.interpolate(coarse, size=size, mode=mode).numpy()
    return found


def training(bench: Bench, preset: str) -> None:
    """The steps run in the product's own loop, and end as soon as there are enough of them."""
    recipe = recipe_of(preset, small=bench.small)
    detector = build_detector(recipe)
    stage = next(stage for stage in detector.stages() if stage.steps)
    settings = recipe.stages[stage.name]
    initial = getattr(detector.settings, "initial_images", 0)
    images = images_of(recipe, max(initial, 2 * settings.batch_size))
    if stage.draw is not None:
        raise ValueError(f"{preset}: a stage that draws anomalies is not meant here")
    peak = bench.matrix_rate(bench.precision)
    cohorts = {name: ArraySource(images) for name in sorted(detector.needs | detector.uses)}
    lengths = {
        name: each.model_copy(update={"steps": STEPS + WARM, "epochs": None, "keep": "last", "watch": ()})
        for name, each in recipe.stages.items()
    }
    taken: list[float] = []
    begun = last = time.perf_counter()

    def note(stage_name: str, epoch: int, number: int) -> None:
        nonlocal last
        now = time.perf_counter()
        taken.append(now - last)
        if len(taken) == WARM:
            bench.forget_peak()
        if len(taken) >= STEPS + WARM or (bench.left < 0 and len(taken) > WARM):
            raise Enough
        last = time.perf_counter()

    with suppress(Enough):
        train(
            detector, cohorts, lengths, seed=0, device=str(bench.device), precision=bench.precision,
            progress=False, processes=1, after_round=note,
        )  # fmt: skip
    memory, of_what = bench.peak_memory()
    steps = taken[WARM:]
    each = statistics.median(steps)
    name = f"{preset}, stage {stage.name}"
    size = "×".join(map(str, recipe.detector_size))
    bench.tell(
        f"{name}: a step",
        f"{each:.3g} s",
        f"median of {len(steps)}, {min(steps):.3g} to {max(steps):.3g}; batch {settings.batch_size} of "
        f"{size}, {bench.precision}; until the second step {sum(taken[:WARM]):.3g} s",
    )
    bench.tell(f"{name}: peak memory", f"{memory:.3g} GiB", of_what)
    work = 3 * settings.batch_size * forward_operations(bench, detector, stage, images)
    bench.tell(
        f"{name}: share of the matrix product's rate",
        f"{work / each / peak:.1%}",
        f"{work / 1e12:.3g} Tflop a step, counted as three forward passes, at {peak / 1e12:.3g} Tflop/s",
    )
    bench.tell(f"{name}: all of it", f"{time.perf_counter() - begun:.3g} s")


def forward_operations(bench: Bench, detector: Detector, stage: Stage, images: np.ndarray) -> float:
    """Floating-point operations of the loss of one image, in plain operations, which the counter sees."""
    one = on_device(Batch(torch.from_numpy(images[:1])), bench.device)
    detector.to(bench.device).eval()
    with torch.no_grad(), writing_a_graph():
        if stage.frozen is not None:
            one = Batch(one.images, features=stage.frozen(one.images))
        with FlopCounterMode(display=False) as counter:
            stage.steps[0].loss(dict.fromkeys(stage.on, one), torch.Generator().manual_seed(0))
    return float(counter.get_total_flops())

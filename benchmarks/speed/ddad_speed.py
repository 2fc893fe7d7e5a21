"""Seconds of one epoch of each DDAD stage at the preset's size, beside the arithmetic floor.

Steps as the training loop takes them (autocast, backward, Adam) on random images, timed as CPU seconds of
this process (wall-clock with --wall). Epochs and fits are the fastest step's time times the number of steps,
since work of others on the machine only ever adds; the median is told beside it. The floor is the
floating-point operations of a step, counted by torch, divided by the rate of a square matrix product in the
same precision and run. The last lines extend both to a whole fit of the recipe's epochs on --normal and
--unlabelled images, and to one in several processes, each at one stage, the longest first, as the training
loop hands them out (`training.apart`); what processes take to start is not in it.

    OMP_NUM_THREADS=1 python benchmarks/speed/ddad_speed.py --preset ddad-aeu
    OMP_NUM_THREADS=1 python benchmarks/speed/ddad_speed.py --stages refine --plain

With --plain each step is followed by one with torch's own convolutions in place of those of
`networks.convolution3`, and the ratio is told.
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from secondread.detectors.contract import Batch, Stage
from secondread.detectors.detector_settings import StageSettings
from secondread.detectors.reconstruction.ddad import DDAD
from secondread.networks.as_graph import writing_a_graph
from secondread.recipes.build import build_detector
from secondread.recipes.recipe import Recipe
from secondread.scoring.device import Precision, autocast, choose_precision, place, to_device
from secondread.training.apart.order import Order
from secondread.training.optimisers import gradients_only_for, make_optimiser, step_parameters
from secondread.training.planning.batch_plan import BatchPlan

CPU = torch.device("cpu")


def clock(wall: bool) -> Callable[[], float]:
    return time.perf_counter if wall else time.process_time


def matrix_rate(precision: Precision, now: Callable[[], float], size: int = 2048) -> float:
    """Floating-point operations per second."""
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    a, b = torch.randn(size, size).to(dtype), torch.randn(size, size).to(dtype)
    a @ b
    rates = []
    for _ in range(10):
        begun = now()
        a @ b
        rates.append(2 * size**3 / (now() - begun))
    return max(rates)


class StageSteps:
    """A stage's training step on random images of the preset's size, with the plan of its epochs."""

    def __init__(
        self,
        detector: DDAD,
        stage: Stage,
        settings: StageSettings,
        sizes: dict[str, int],
        precision: Precision,
    ) -> None:
        self.detector, self.stage, self.precision = detector, stage, precision
        cohorts = {name: sizes[name] for name in stage.on}
        self.plan = BatchPlan(cohorts, stage.on, settings.batch_size, 0, stage.name)
        self.step = stage.steps[0]
        self.parameters = step_parameters(self.step)
        self.optimiser = make_optimiser(self.step, settings.optimiser)
        self.batches = {
            name: Batch(to_device(self._images(len(rows)), CPU))
            for name, rows in self.plan.epoch(0)[0].items()
        }

    def _images(self, count: int) -> Tensor:
        coarse = torch.rand(count, self.detector.channels, *(n // 8 for n in self.detector.size))
        mode = {2: "bilinear", 3: "trilinear"}[len(self.detector.size)]
        return torch.nn.functional.interpolate(coarse, size=self.detector.size, mode=mode)

    def take(self) -> None:
        with gradients_only_for(self.detector, self.parameters):
            with autocast(CPU, self.precision):
                terms = self.step.loss(self.batches, torch.Generator().manual_seed(0))
            torch.stack([value.float() for value in terms.values()]).sum().backward()
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)

    def operations(self) -> float:
        with writing_a_graph(), FlopCounterMode(display=False) as counter:  # that counts torch's alone
            self.take()
        return float(counter.get_total_flops())


def scheduled(order: Order, seconds: Mapping[str, float], processes: int) -> float:
    """Until all stages are done, where each of so many processes takes the longest that is ready."""
    now, done, working = 0.0, [], dict[str, float]()
    while len(done) < len(order.stages):
        names = [order.stages[number].name for number in order.ready(done)]
        for name in sorted(set(names) - working.keys(), key=lambda name: -seconds.get(name, 0.0)):
            if len(working) < processes:
                working[name] = now + seconds.get(name, 0.0)
        first = min(working, key=lambda name: working[name])
        now = working.pop(first)
        done.append(first)
    return now


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--preset", default="ddad-aeu")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--images", type=int, default=256, help="of each cohort, for the epoch that is told")
    parser.add_argument("--normal", type=int, default=1349)
    parser.add_argument("--unlabelled", type=int, default=1349)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--processes", type=int, nargs="*", default=[2, 4])
    parser.add_argument("--wall", action="store_true")
    parser.add_argument("--stages", nargs="*", metavar="SECTION", help="of these sections alone")
    parser.add_argument("--plain", action="store_true", help="also by torch's own convolutions, in turns")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    now, precision = clock(options.wall), choose_precision(options.precision, CPU)
    recipe = Recipe.load(options.preset, set=options.set)
    detector = build_detector(recipe)
    assert isinstance(detector, DDAD)
    place(detector, CPU)
    detector.train()
    rate = matrix_rate(precision, now)
    print(f"{options.preset}, {precision}, {options.threads} threads, product at {rate / 1e9:.0f} GFLOP/s")
    wanted = {"normal": options.images, "unlabelled": options.images}
    whole = {"normal": options.normal, "unlabelled": options.unlabelled}
    total = floor = 0.0
    seconds: dict[str, float] = {}
    for stage in detector.stages():
        if not stage.steps or (options.stages and stage.section not in options.stages):
            continue
        settings = recipe.stages[stage.section]
        steps = StageSteps(detector, stage, settings, wanted, precision)
        arithmetic = steps.operations() / rate
        steps.take()
        found, plain = list[float](), list[float]()
        for _ in range(options.steps):
            for times in (found, plain) if options.plain else (found,):
                with writing_a_graph() if times is plain else nullcontext():
                    begun = now()
                    steps.take()
                    times.append(now() - begun)
        each = min(found)
        count = steps.plan.batches_per_epoch
        plan = BatchPlan({n: whole[n] for n in stage.on}, stage.on, settings.batch_size, 0, stage.name)
        taken = min(settings.epochs or math.inf, math.inf) * plan.batches_per_epoch
        taken = min(taken, settings.steps or math.inf)
        total += each * taken
        seconds[stage.name] = each * taken
        floor += arithmetic * taken
        print(
            f"{stage.name}: {1000 * each:.0f} ms a step (median {1000 * statistics.median(found):.0f}, floor "
            f"{1000 * arithmetic:.1f}), epoch of {options.images} images each {each * count:.1f} s, "
            f"whole stage {each * taken / 60:.1f} min"
        )
        if plain:
            print(f"  torch's own convolutions: {1000 * min(plain):.0f} ms, {min(plain) / each:.2f} times")
    if not seconds:
        parser.error(f"--stages: the preset's sections that take steps are {', '.join(recipe.stages)}")
    order = Order.of(list(detector.stages()))
    for processes in options.processes:
        span = scheduled(order, seconds, processes)
        print(f"in {processes} processes: {span / 60:.0f} min, {total / span:.2f} times as fast")
    print(
        f"whole fit on {options.normal} normal and {options.unlabelled} unlabelled images: "
        f"{total / 60:.0f} min, arithmetic floor {floor / 60:.1f} min, {total / floor:.1f} times"
    )


if __name__ == "__main__":
    main()

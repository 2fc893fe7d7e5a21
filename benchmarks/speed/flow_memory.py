"""Memory of a training step of Glow against normflows and FrEIA, by depth and by what ours keeps.

    python benchmarks/speed/flow_memory.py [--depths 8 32 128] [--peer-depths 8 32] [--rounds N]

Memory is the peak of the resident set during one training step, above what was resident before it: each
model in a process of its own, after one step to warm up, with the gradients there already (zeroed in
place, so that they do not count; their size stands beside). Freed memory goes back to the system at once
there (small MALLOC_MMAP_THRESHOLD_). Times are of other processes, with memory kept, in which our three
modes take turns: the least CPU time on one thread. 1×64×64, three levels, width 128, batch 8.

"1/x of normflows" is against normflows in the precision that takes less.

The last table is arithmetic: what paper-size models ask for, without what one step works on. Its formula
is held against the growth by depth that was measured here.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import json
import math
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path

import torch
from flow_models import Form, FreiaGlow, kept_bytes, make_normflows, make_ours, parameter_count
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "machines"))
from floating_point import cpu_seconds

MODES = ("recompute", "store", "invert")
SMALL = Form(1, (64, 64), levels=3, depth=8, width=128, batch=8)
PAPER = {
    "512² L7 K32 w512": Form(1, (512, 512), levels=7, depth=32, width=512, batch=1),
    "32×128² L4 K32 w512": Form(1, (32, 128, 128), levels=4, depth=32, width=512, batch=1),
}
BATCHES = (1, 8, 32, 128)
RETURNED = {"MALLOC_MMAP_THRESHOLD_": str(2**16), "MALLOC_TRIM_THRESHOLD_": str(2**16)}
KEPT = {"MALLOC_MMAP_THRESHOLD_": str(2**30), "MALLOC_TRIM_THRESHOLD_": str(2**34)}


def resident(field: str) -> float:
    """VmRSS or VmHWM of this process, MiB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(field)).split()[1]) / 2**10


def training_step(model: str, form: Form, *, half: bool) -> tuple[Callable[[], None], list[Tensor]]:
    """A step of the named model (a mode of ours, normflows or FrEIA), and its parameters."""
    density: Callable[[Tensor], Tensor]
    if model in MODES:
        glow = make_ours(form, memory=model)
        density, parameters = glow.log_density, list(glow.parameters())
    elif model == "normflows":
        theirs = make_normflows(form, make_ours(form))
        density, parameters = lambda x: theirs.log_prob(x, None), list(theirs.parameters())
    else:
        blocks = FreiaGlow(form)
        density, parameters = blocks, list(blocks.parameters())
    parameters = [parameter for parameter in parameters if parameter.requires_grad]
    x = form.images()

    def step() -> None:
        for parameter in parameters:
            if parameter.grad is not None:
                parameter.grad.zero_()
        with torch.autocast("cpu", dtype=torch.bfloat16) if half else nullcontext():
            loss = -density(x).mean()
        loss.backward()

    return step, parameters


def peak(model: str, form: Form, *, half: bool) -> dict[str, float]:
    """In a process of its own: MiB above the start of a step, and of the gradients."""
    step, parameters = training_step(model, form, half=half)
    step()
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew from what is resident
    before = resident("VmRSS")
    step()
    above = resident("VmHWM") - before
    return {"peak": above, "gradients": sum(p.numel() * p.element_size() for p in parameters) / 2**20}


def seconds(form: Form, rounds: int, *, half: bool) -> dict[str, float]:
    """In a process of its own: CPU seconds of a step in each of our modes."""
    steps = {model: training_step(model, form, half=half)[0] for model in MODES}
    for step in steps.values():
        step()
    found = dict.fromkeys(MODES, math.inf)
    for _ in range(rounds):
        for model, step in steps.items():
            found[model] = min(found[model], cpu_seconds(step))
    return found


def apart(task: str, environment: dict[str, str], **given: object) -> dict[str, float]:
    """The figures of this script run for one task in another process."""
    command = [sys.executable, __file__, "--task", json.dumps({"task": task, **given})]
    surroundings = {**os.environ, "OMP_NUM_THREADS": "1", **environment}
    answer = subprocess.run(command, env=surroundings, check=True, capture_output=True, text=True).stdout
    found: dict[str, float] = json.loads(answer)
    return found


def answer(task: str, form: dict[str, object], **given: object) -> None:
    torch.set_num_threads(1)
    shape = Form(**{**form, "size": tuple(form["size"])})  # type: ignore[arg-type]
    print(json.dumps((peak if task == "peak" else seconds)(form=shape, **given)))  # type: ignore[operator]


def measured(depths: list[int], peer_depths: list[int], rounds: int) -> None:
    slopes: dict[tuple[str, bool], dict[int, float]] = {}
    print(f"{SMALL}, by K; MiB above the start of a step, gradients there already")
    for depth in depths:
        form = asdict(SMALL) | {"depth": depth}
        others = {}
        if depth in peer_depths:
            for model in ("normflows", "FrEIA"):
                for half in (False, True):
                    others[model, half] = apart("peak", RETURNED, model=model, form=form, half=half)["peak"]
                    show(depth, model, half, others[model, half])
        reference = min((value for (model, _), value in others.items() if model == "normflows"), default=None)
        for half in (False, True):
            times = apart("seconds", KEPT, form=form, rounds=rounds, half=half)
            for mode in MODES:
                found = apart("peak", RETURNED, model=mode, form=form, half=half)
                slopes.setdefault((mode, half), {})[depth] = found["peak"]
                more = f"{1000 * times[mode]:9.0f} ms, {times[mode] / times['store']:.2f} of store"
                more += f"   gradients {found['gradients']:.1f} MiB"
                if reference is not None:
                    more += f"   1/{reference / found['peak']:.1f} of normflows"
                show(depth, f"ours, {mode}", half, found["peak"], more)
    if len(depths) > 1:
        check(slopes, depths[0], depths[-1])


def show(depth: int, name: str, half: bool, value: float, more: str = "") -> None:
    kind = "bfloat16" if half else "float32"
    print(f"  K {depth:<4d} {name:16s} {kind:9s} {value:7.1f} MiB{more}", flush=True)


def check(slopes: dict[tuple[str, bool], dict[int, float]], fewest: int, most: int) -> None:
    print(f"growth from K {fewest} to K {most}, MiB: measured, and by the arithmetic of the last table")
    for (mode, half), found in slopes.items():
        few, many = (Form(**(asdict(SMALL) | {"depth": depth})) for depth in (fewest, most))
        size = 2 if half else 4
        expected = kept_bytes(many, mode, network=size) - kept_bytes(few, mode, network=size)
        grown = found[most] - found[fewest]
        expected *= SMALL.batch / 2**20
        print(f"  {mode:10s} {'bfloat16' if half else 'float32':9s} {grown:8.1f} {expected:8.1f}")


def paper_sizes() -> None:
    print("paper-size models, GiB by arithmetic: float32 parameters, gradients and Adam moments (state),")
    print("and with them what backpropagation keeps of the steps, networks in bfloat16, by the batch")
    for name, form in PAPER.items():
        count = parameter_count(form)
        state = 4 * 4 * count / 2**30
        print(f"  {name}: {count / 1e6:.0f} M parameters, state {state:.1f}")
        for mode in MODES:
            each = kept_bytes(form, mode, network=2) / 2**30
            totals = "".join(f"{state + batch * each:10.1f}" for batch in BATCHES)
            print(f"    {mode:10s} {each:6.2f} per image; batch {BATCHES}: {totals}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--depths", type=int, nargs="+", default=[8, 32, 128])
    parser.add_argument("--peer-depths", type=int, nargs="*", default=[8, 32])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--task", type=json.loads, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.task:
        answer(**given.task)
        return
    measured(given.depths, given.peer_depths, given.rounds)
    paper_sizes()


if __name__ == "__main__":
    main()

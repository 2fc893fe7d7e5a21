"""What sleeping threads cost and give: training steps per second of two networks, by number of threads
and by how they wait (OMP_WAIT_POLICY), with other work on every core and without.

    python benchmarks/speed/waiting.py --rounds 3 --seconds 4

Each contender is a process of its own, in turn. It wants a machine that is otherwise idle.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from secondread.images.workers.cores import physical_cores
from secondread.scoring.bf16_speed import processor_name

STEPS = """
import sys, time, torch
width, seconds = int(sys.argv[1]), float(sys.argv[2])
torch.manual_seed(0)
layers = [m for _ in range(6) for m in (torch.nn.Conv2d(width, width, 3, padding=1), torch.nn.ReLU())]
network = torch.nn.Sequential(*layers).to(memory_format=torch.channels_last)
x = torch.randn(8, width, 32, 32).contiguous(memory_format=torch.channels_last)
optimizer = torch.optim.Adam(network.parameters())
def step():
    optimizer.zero_grad()
    network(x).square().mean().backward()
    optimizer.step()
for _ in range(3):
    step()
begun, count = time.perf_counter(), 0
while time.perf_counter() - begun < seconds:
    step()
    count += 1
print(count / (time.perf_counter() - begun))
"""


@contextmanager
def other_work(processes: int) -> Iterator[None]:
    burning = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(processes)]
    try:
        yield
    finally:
        for process in burning:
            process.kill()
            process.wait()


def rate(width: int, seconds: float, threads: int, waiting: str) -> float:
    """Steps per second of a new process."""
    done = subprocess.run(
        [sys.executable, "-c", STEPS, str(width), str(seconds)],
        env={**os.environ, "OMP_NUM_THREADS": str(threads), "OMP_WAIT_POLICY": waiting},
        capture_output=True,
        text=True,
        check=True,
    )
    return float(done.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4)
    asked = parser.parse_args()
    cores = physical_cores()
    contenders = [(1, "passive"), (cores, "active"), (cores, "passive")]
    print(f"{processor_name()}, {cores} cores; median of {asked.rounds} rounds, steps per second\n")
    print("| width | processes beside | " + " | ".join(f"{n} threads, {how}" for n, how in contenders) + " |")
    print("|---|---|" + "---|" * len(contenders))
    for width in (16, 64):
        for beside in (0, cores):
            found: list[list[float]] = [[] for _ in contenders]
            with other_work(beside):
                for _ in range(asked.rounds):
                    for rates, (number, how) in zip(found, contenders, strict=True):
                        rates.append(rate(width, asked.seconds, number, how))
            print(
                f"| {width} | {beside} | " + " | ".join(f"{statistics.median(r):.2f}" for r in found) + " |"
            )


if __name__ == "__main__":
    main()

"""Commands by the package in each of several places, in turns, as a table.

What `index_options.py` and `manifest_rows.py` share: the largest resident memory in MiB and processor time in
seconds (the least of the rounds) of each command, and whether what each wrote and said is the same.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Hashable, Iterable, Sequence
from pathlib import Path
from typing import TypeAlias

from process_cost import process_cost

Measured: TypeAlias = tuple[float, float, Hashable]
"""MiB, seconds, and what was written and said."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--source", action="append", type=Path, help="where the package lies (default: src)")
    parser.add_argument("--rounds", type=int, default=1)


def table(
    title: str, names: Iterable[str], run: Callable[[str, Path], Measured], given: argparse.Namespace
) -> None:
    """Prints a line for each of the names, whose command `run` runs by the package in a source."""
    sources = [source.resolve() for source in given.source or [Path("src")]]
    heads = [f"{source.parent.name}, MiB | s" for source in sources]
    print(f"| {title} | {' | '.join(heads)} | same |\n|---|" + "---|---|" * len(sources) + "---|")
    for name in names:
        turns = [[run(name, source) for source in sources] for _ in range(given.rounds)]
        told = [
            f"{min(turn[at][0] for turn in turns):.0f} | {min(turn[at][1] for turn in turns):.1f}"
            for at in range(len(sources))
        ]
        same = "yes" if len({one[2] for turn in turns for one in turn}) == 1 else "NO"
        print(f"| {name} | {' | '.join(told)} | {same} |", flush=True)


def used(command: Sequence[str | Path], source: Path, there: Path) -> tuple[float, float, bytes, int]:
    """MiB and seconds of a process, what it said but for the folder `there`, and its exit status."""
    said = there / "said"
    with said.open("wb") as file:
        cost = process_cost(command, file, {**os.environ, "PYTHONPATH": str(source)})
    words = said.read_bytes().replace(str(there).encode(), b"")
    return cost.memory, cost.processor, words, cost.status

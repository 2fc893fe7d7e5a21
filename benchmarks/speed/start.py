"""How long commands take until they answer, in seconds of processor time beside those of a bare interpreter.

The least of the rounds, which take turns; seconds by the clock beside them, which say something on an idle
machine alone. With a bundle, exported or not, and a film also how long it takes until the film is read. A
round before the first has Python keep what it compiled, as an installed package has it, and does not count.

    python benchmarks/speed/start.py --rounds 5 [--bundle BUNDLE --film FILM]
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

from secondread.scoring.bf16_speed import processor_name

COMMANDS = {
    "python -c pass": ["-c", "pass"],
    "python -c 'import typer'": ["-c", "import typer"],
    "secondread --help": ["-m", "secondread", "--help"],
    "secondread score --help": ["-m", "secondread", "score", "--help"],
    "python -c 'import torch'": ["-c", "import torch"],
}


def seconds(arguments: list[str]) -> tuple[float, float]:
    """Of the processor, those of worker processes included, and by the clock."""
    before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    subprocess.run([sys.executable, *arguments], stdout=subprocess.DEVNULL, check=True, env=kept)
    after, ended = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, ended - begun


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--bundle")
    parser.add_argument("--film")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        took: dict[str, list[tuple[float, float]]] = {}
        for number in range(given.rounds + 1):
            commands = dict(COMMANDS)
            if find_spec("onnxruntime") is not None:
                commands["python -c 'import onnxruntime, numpy'"] = ["-c", "import onnxruntime, numpy"]
            if given.bundle and given.film:
                for name, more in (("", []), (" --workers 0", ["--workers", "0"])):
                    out = str(Path(place, f"{number}{len(more)}"))
                    score = ["-m", "secondread", "score", given.bundle, given.film, "-o", out, "-q", *more]
                    commands[f"secondread score BUNDLE FILM{name}"] = score
            for name, arguments in commands.items():
                found = seconds(arguments)
                if number:
                    took.setdefault(name, []).append(found)
    print(f"{processor_name()}, {len(os.sched_getaffinity(0))} cores, load {os.getloadavg()[0]:.1f}")
    torch = min(used for used, _ in took["python -c 'import torch'"])
    for name, rounds in took.items():
        used, clock = (min(column) for column in zip(*rounds, strict=True))
        print(f"{used:6.2f} s, {used / torch:4.2f} of importing torch, {clock:6.2f} s by the clock  {name}")


if __name__ == "__main__":
    main()

"""How long commands take until they answer, in seconds of processor time beside those of a bare interpreter.

The least of the rounds, which take turns.

    python benchmarks/speed/start.py --rounds 5
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys

from secondread.scoring.bf16_speed import processor_name

COMMANDS = {
    "python -c pass": ["-c", "pass"],
    "python -c 'import typer'": ["-c", "import typer"],
    "secondread --help": ["-m", "secondread", "--help"],
    "secondread score --help": ["-m", "secondread", "score", "--help"],
    "python -c 'import torch'": ["-c", "import torch"],
}


def seconds(arguments: list[str]) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *arguments], stdout=subprocess.DEVNULL, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    took = {name: [0.0] * rounds for name in COMMANDS}
    for number in range(rounds):
        for name, arguments in COMMANDS.items():
            took[name][number] = seconds(arguments)
    print(f"{processor_name()}, load {os.getloadavg()[0]:.1f}")
    for name, found in took.items():
        print(f"{min(found):6.2f} s  {name}")


if __name__ == "__main__":
    main()

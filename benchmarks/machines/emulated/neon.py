"""The compiled code for ARM, cross-compiled and run by an emulator.

    apt-get install g++-aarch64-linux-gnu qemu-user
    python benchmarks/machines/emulated/neon.py

Both NEON forms of couplings (float32; bfloat16 by its own instruction) on what `kernel_driver.py` asks of
them, against float64; the other code on what its tests ask, against this machine in the same lengths
(`replay.py`).
Correctness alone: no speed is told. Ends with 1 where a result is not what it has to be.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import replay
from kernel_driver import build, check

from secondread.flows.glow.native.forms import FORMS

COMPILER, EMULATOR = "aarch64-linux-gnu-g++", ("qemu-aarch64", "-cpu", "max")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    replay.asking(parser)
    given = parser.parse_args()
    good = True
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)

        def runner(program: Path) -> Callable[[bytes], bytes]:
            def run(calls: bytes) -> bytes:
                (folder / "in").write_bytes(calls)
                subprocess.run([*EMULATOR, str(program), str(folder / "in"), str(folder / "out")], check=True)
                return (folder / "out").read_bytes()

            return run

        for form in (form for form in FORMS if form.machine == "aarch64"):
            good &= check(form, runner(build(form, folder, [COMPILER])))
        good &= replay.check("NEON", folder, lambda make: runner(make([COMPILER])), given.drawn, given.codes)
    sys.exit(not good)


if __name__ == "__main__":
    main()

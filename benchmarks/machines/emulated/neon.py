"""The compiled coupling network for ARM, cross-compiled and run by an emulator against float64.

    apt-get install g++-aarch64-linux-gnu qemu-user
    python benchmarks/machines/emulated/neon.py

Both NEON forms (float32; bfloat16 by its own instruction) on what `kernel_driver.py` asks of them.
Correctness alone: no speed is told. Ends with 1 where a result is not what it has to be.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from kernel_driver import build, check

from secondread.flows.glow.native.forms import FORMS

COMPILER, EMULATOR = "aarch64-linux-gnu-g++", ("qemu-aarch64", "-cpu", "max")


def main() -> None:
    good = True
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)

        def run(calls: bytes) -> bytes:
            (folder / "in").write_bytes(calls)
            subprocess.run([*EMULATOR, str(program), str(folder / "in"), str(folder / "out")], check=True)
            return (folder / "out").read_bytes()

        for form in (form for form in FORMS if form.machine == "aarch64"):
            program = build(form, folder, [COMPILER])
            good &= check(form, run)
    sys.exit(not good)


if __name__ == "__main__":
    main()

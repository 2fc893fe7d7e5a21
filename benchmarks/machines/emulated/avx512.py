"""The compiled code for AVX-512, AVX-512 with bf16 and AMX, run by an emulator.

    apt-get install g++ bochs bochs-term
    python benchmarks/machines/emulated/avx512.py

Bochs has to be 3.0 with AMX, as Debian 13 has it. On another system it may lie in a folder that holds a
Debian 13; this makes one, as root, in some minutes (configuring packages of a desktop may fail there, and
does not matter):

    apt-get install debootstrap
    debootstrap --variant=minbase --include=bochs,bochs-term trixie FOLDER
    python benchmarks/machines/emulated/avx512.py --root FOLDER

Bochs is a whole machine in software. In place of a BIOS and a system it gets some 250 lines of ours
(`start.S`, `system.c`), which switch the registers on and start the driver, compiled with
the form's own flags. Its Skylake-X has AVX-512 without bf16, its Sapphire Rapids bf16 and tiles. Correctness
alone, in one thread; that Linux grants the tile registers is not shown, nor vcvtne2ps2bf16, which Bochs 3.0
computes wrongly: the tiles' form is compiled with two conversions in its place (`two_conversions.h`).
Couplings are compared with float64 (`kernel_driver.py`), the other code with this machine in the same lengths
(`replay.py`, `--forms replayed`, `--codes`). All of it takes some ten minutes of one core. Ends with 1 where
a result is not what is asked.
"""

from __future__ import annotations

import argparse
import os
import pty
import resource
import struct
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import replay
from kernel_driver import SOURCES, build, check

from secondread.flows.glow.native.forms import FORMS

MODELS = {"AVX-512": "corei7_skylake_x", "AVX-512 with bf16": "sapphire_rapids", "AMX": "sapphire_rapids"}
IN_PLACE = {"AMX": ("-include", str(SOURCES / "two_conversions.h"))}
COMPILER = "x86_64-linux-gnu-g++"
LONGEST = (
    900  # seconds of processor time of one emulation: a program that fails may halt the machine for ever
)
START, PROGRAM, CALLS = 0xFFFF0000, 0x800000, 0x1000000  # addresses, as start.S and system.c have them
BLOCK = 0x800000  # the most that Bochs loads at once
MACHINE = """
cpu: model={model}, ips=50000000, reset_on_triple_fault=0
memory: guest=512, host=512, block_size=8192
romimage: file=start
vgaromimage: file=nothing
{images}
parport1: enabled=1, file=out
com1: enabled=1, mode=file, dev=said
display_library: term
log: log
panic: action=fatal
error: action=ignore
info: action=ignore
"""


def start(folder: Path) -> Path:
    """The code at the processor's reset, and the system that is linked into a program."""
    system = folder / "system.o"
    link = f"-Wl,-Ttext={START:#x},--oformat=binary,--build-id=none,-e,{START:#x}"
    code = [str(SOURCES / "start.S"), "-o", str(folder / "start")]
    subprocess.run([COMPILER, "-nostdlib", "-static", "-no-pie", link, *code], check=True)
    flags = ["-x", "c", "-c", "-O1", "-mgeneral-regs-only", "-fno-stack-protector", "-fno-pie"]
    subprocess.run([COMPILER, *flags, str(SOURCES / "system.c"), "-o", str(system)], check=True)
    (folder / "nothing").write_bytes(bytes(512))
    return system


def in_memory(program: Path) -> bytes:
    """A program's segments as they lie in memory from PROGRAM on."""
    file = program.read_bytes()
    (headers,), (count,) = struct.unpack_from("<Q", file, 32), struct.unpack_from("<H", file, 56)
    memory = bytearray()
    for at in range(count):
        kind, _, offset, address, _, size, whole, _ = struct.unpack_from("<IIQQQQQQ", file, headers + 56 * at)
        if kind == 1:
            begin = address - PROGRAM
            memory.extend(bytes(max(0, begin + whole - len(memory))))
            memory[begin : begin + size] = file[offset : offset + size]
    return bytes(memory)


def emulate(model: str, program: bytes, folder: Path, root: Path | None, calls: bytes) -> bytes:
    """What the program has written, given calls."""
    calls = struct.pack("<Q", len(calls)) + calls
    parts = [(PROGRAM, program)]
    parts += [(CALLS + at, calls[at : at + BLOCK]) for at in range(0, len(calls), BLOCK)]
    if len(program) > BLOCK or len(parts) > 4:
        sys.exit(f"{len(program)} bytes of program and {len(calls)} of calls are more than Bochs loads")
    lines = []
    for number, (address, part) in enumerate(parts, 1):
        (folder / f"part{number}").write_bytes(part)
        lines.append(f"optramimage{number}: file=part{number}, address={address:#x}")
    (folder / "bochsrc").write_text(MACHINE.format(model=model, images="\n".join(lines)), encoding="utf-8")
    for name in ("out", "said", "log"):
        (folder / name).write_bytes(b"")
    shown = in_terminal(["bochs", "-q", "-f", "bochsrc"], folder, root)
    said, log = ((folder / name).read_text(encoding="utf-8", errors="replace") for name in ("said", "log"))
    if "ended with 0" not in said:
        sys.exit(f"{model}: the program did not end well\n{shown}\n{log[-3000:]}\n{said}")
    return (folder / "out").read_bytes()


def in_terminal(command: list[str], folder: Path, root: Path | None) -> str:
    """Runs a program that wants a terminal; what it shows there."""
    process, terminal = pty.fork()
    if process == 0:
        try:
            os.environ["TERM"] = "vt100"
            resource.setrlimit(resource.RLIMIT_CPU, (LONGEST, LONGEST))
            if root:
                os.chroot(root)
            os.chdir(Path("/") / folder.relative_to(root or "/"))
            os.execvp(command[0], command)
        except OSError as problem:
            print(f"{command[0]}: {problem}", flush=True)
        os._exit(1)
    shown = b""
    try:
        while more := os.read(terminal, 1 << 16):
            shown = (shown + more)[-10_000:]
    except OSError:  # the terminal is closed where the program ends
        pass
    os.close(terminal)
    os.waitpid(process, 0)
    return shown.decode(errors="replace")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--root", type=Path, help="a folder with a system that has bochs (as root)")
    choices = [*MODELS, "replayed"]
    parser.add_argument("--forms", nargs="+", choices=choices, default=choices, metavar="FORM")
    replay.asking(parser)
    given = parser.parse_args()
    root = given.root.resolve() if given.root else None
    good = True
    with tempfile.TemporaryDirectory(dir=root / "tmp" if root else None) as name:
        folder = Path(name)
        system = start(folder)
        place = f"-Wl,-Ttext-segment={PROGRAM:#x},-e,machine_start"
        for form in (form for form in FORMS if form.name in given.forms):
            more = (*IN_PLACE.get(form.name, ()), str(system), "-no-pie", place)
            program = in_memory(build(form, folder, [COMPILER], *more))
            run = partial(emulate, MODELS[form.name], program, folder, root)
            good &= check(form, run)

        def runner(make: Callable[..., Path]) -> Callable[[bytes], bytes]:
            program = in_memory(make([COMPILER], str(system), "-no-pie", place))
            return partial(emulate, MODELS["AVX-512"], program, folder, root)

        if "replayed" in given.forms:
            good &= replay.check("AVX-512", folder, runner, given.drawn, given.codes)
    sys.exit(not good)


if __name__ == "__main__":
    main()

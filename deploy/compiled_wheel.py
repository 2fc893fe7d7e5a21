"""A wheel for machines of this kind that holds the compiled code, so that they need no compiler.

    python deploy/compiled_wheel.py -o build/wheels
    python deploy/compiled_wheel.py --here              # into the package that is installed here, no wheel

Every form of the code is compiled, and each machine loads what suits its processor. auditwheel finds out how
old a C library may be, and names the wheel by it. OpenMP's library is not put in: PyTorch brings it and has
loaded it before. A form that this machine's compiler does not know is left out and told; where it would have
suited, a compiler is asked for as without this wheel.
"""

from __future__ import annotations

import argparse
import platform
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from secondread.estimators.compiled_distances.kernel import CODE as DISTANCES
from secondread.estimators.compiled_normalisation.kernel import CODE as NORMALISATION
from secondread.flows.compiled_coupling.kernel import CODE as FROZEN_COUPLINGS
from secondread.flows.glow.native import COUPLING
from secondread.networks.convolution3.doublings.kernel import CODE as DOUBLINGS
from secondread.networks.convolution3.frozen_kernel import CODE as FROZEN_CONVOLUTION
from secondread.networks.convolution3.kernel import CODE as CONVOLUTION
from secondread.networks.inverted_residual.kernel import CODE as BLOCK
from secondread.networks.native.build import SHIPPED, compile_form, shipped_name
from secondread.networks.similarity.kernel import CODE as SIMILARITY

CODES = (
    COUPLING,
    FROZEN_COUPLINGS,
    CONVOLUTION,
    FROZEN_CONVOLUTION,
    BLOCK,
    SIMILARITY,
    DISTANCES,
    DOUBLINGS,
    NORMALISATION,
)
PROJECT = Path(__file__).resolve().parents[1]
OPENMP = "libgomp.so.1"
PATHS = re.compile(r"secondread/.*")


def compile_all(folder: Path) -> None:
    """Every form for machines of this kind. SystemExit where there is none."""
    folder.mkdir(exist_ok=True)
    for code in CODES:
        for form in code.forms:
            if form.machine == platform.machine():
                try:
                    compile_form(form, folder / shipped_name(code.name, form))
                except (subprocess.CalledProcessError, OSError) as error:
                    said = getattr(error, "stderr", "") or str(error)
                    line = next((one for one in said.splitlines() if "error" in one), said.strip())
                    print(f"note: {code.name} for {form.name} is left out: {line}", file=sys.stderr)
    if not any(folder.iterdir()):
        raise SystemExit("error: nothing could be compiled here; set CXX to a compiler of C++17 with OpenMP")


def for_this_machine(unpacked: Path) -> None:
    """Its `WHEEL` says that it is for one kind of machine."""
    (file,) = unpacked.glob("*.dist-info/WHEEL")
    text = file.read_text(encoding="utf-8").replace("Root-Is-Purelib: true", "Root-Is-Purelib: false")
    file.write_text(re.sub(r"^Tag: .*$", f"Tag: py3-none-linux_{platform.machine()}", text, flags=re.M))


def python(*arguments: str | Path) -> None:
    subprocess.run([sys.executable, "-m", *map(str, arguments)], check=True)


def make_wheel(out: Path) -> Path:
    """Into the folder `out`."""
    with tempfile.TemporaryDirectory() as place:
        names = ("plain", "tree", "packed", "repaired")
        plain, tree, packed, repaired = (Path(place, name) for name in names)
        python("pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", plain, PROJECT)
        (wheel,) = plain.iterdir()
        python("wheel", "unpack", "--dest", tree, wheel)
        (unpacked,) = tree.iterdir()
        (relative,) = PATHS.findall(SHIPPED.as_posix())[-1:]
        compile_all(unpacked / relative)
        for_this_machine(unpacked)
        packed.mkdir()
        python("wheel", "pack", "--dest-dir", packed, unpacked)
        (wheel,) = packed.iterdir()
        python("auditwheel", "repair", "--exclude", OPENMP, "--wheel-dir", repaired, wheel)
        (wheel,) = repaired.iterdir()
        out.mkdir(parents=True, exist_ok=True)
        made = out / wheel.name
        made.write_bytes(wheel.read_bytes())
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, default=PROJECT / "build" / "wheels")
    parser.add_argument("--here", action="store_true")
    given = parser.parse_args()
    if given.here:
        compile_all(SHIPPED)
        print(SHIPPED)
    else:
        print(make_wheel(given.output))


if __name__ == "__main__":
    main()

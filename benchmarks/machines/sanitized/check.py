"""The compiled code under the compiler's sanitizers: memory beyond its end, memory that nobody wrote, what
C++ leaves undefined, and threads that do not wait for one another.

    make sanitized
    python benchmarks/machines/sanitized/check.py [--sanitizers address thread] [--forms AVX2 NEON AVX-512]

Each library is built for each sanitizer in the vector lengths of each form (`in_lengths.py`), with all
pieces of its own memory apart (`APART` of arena.h). Its tests and calls on drawn shapes (`odd_calls.py`) run
with the sanitizer's runtime before all other libraries. First the sanitizers show that they see planted
faults (`planted.cpp`). It needs g++ and its sanitizers, on x86 with AVX2, and some half an hour on one idle
core. It ends with 1 where one found something. The tiles of AMX need a processor that has them, and are
not in it.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
FORMS = ("AVX2", "NEON", "AVX-512")
TESTS = (
    "tests/networks/convolution3",
    "tests/networks/inverted_residual",
    "tests/networks/similarity",
    "tests/estimators/test_position_gaussians.py",
    "tests/estimators/test_compiled_normalisation.py",
    "tests/flows/compiled_coupling",
    "tests/flows/glow/test_vector_kernel.py",
    "tests/flows/glow/test_gradients.py",
)
PYTEST = ("-m", "pytest", "-q", "--override-ini=addopts=", "-p", "no:cacheprovider", "-p", "no:xdist")
PYTEST += ("--capture=sys",)  # what a sanitizer says before it ends the process is told
PLANTED = "import ctypes, sys; exit(getattr(ctypes.CDLL(sys.argv[1]), sys.argv[2])(1) != int(sys.argv[3]))"
"""A call of planted.cpp, and what has to come back."""


@dataclass(frozen=True)
class Sanitizer:
    """flags are the compiler's, libraries come before all others, options go by the names of variables.
    faults: of planted.cpp, and what it says of them."""

    flags: tuple[str, ...]
    libraries: tuple[str, ...]
    options: dict[str, str]
    faults: dict[str, str]
    forms: tuple[str, ...] = FORMS


SANITIZERS = {
    "address": Sanitizer(
        ("-fsanitize=address,undefined", "-fno-sanitize-recover=all"),
        ("libasan.so", "libstdc++.so.6"),
        {"ASAN_OPTIONS": "detect_leaks=0", "UBSAN_OPTIONS": "print_stacktrace=1"},
        {"overrun": "heap-buffer-overflow", "overflow": "signed integer overflow"},
    ),
    "thread": Sanitizer(
        ("-fsanitize=thread", str(HERE / "team.cpp")),
        ("libtsan.so", "libstdc++.so.6"),
        {"TSAN_OPTIONS": "halt_on_error=1:exitcode=66:ignore_noninstrumented_modules=1"},
        {"race": "data race"},
        ("AVX2",),
    ),
}
"""Memory and what is undefined in one build; which threads wait for which is the same in all forms."""


class Watched:
    """Processes in which a sanitizer watches compiled code."""

    def __init__(self, sanitizer: Sanitizer, form: str, folder: Path) -> None:
        self.sanitizer, self.folder = sanitizer, folder
        self.compiler = ("g++", "-g", "-DAPART", "-fno-omit-frame-pointer", *sanitizer.flags)
        found = (_told(["g++", f"-print-file-name={name}"]) for name in sanitizer.libraries)
        path = (str(HERE), str(ROOT / "src"), *filter(None, [os.environ.get("PYTHONPATH")]))
        self.environment = {
            **os.environ,
            **sanitizer.options,
            "CXX": " ".join(("env", "-u", "LD_PRELOAD", *self.compiler)),
            "LD_PRELOAD": " ".join(found),
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": os.pathsep.join(path),
            "SECONDREAD_NATIVE": "1",
            "WATCHED_FORM": form,
            "XDG_CACHE_HOME": str(folder),
        }

    def run(self, *arguments: str) -> bool:
        """Whether Python ended well."""
        return self._ended(arguments).returncode == 0

    def _ended(self, arguments: Sequence[str], **more: Any) -> subprocess.CompletedProcess[str]:
        call = ["setarch", "-R", sys.executable, *arguments]  # memory lies where sanitizers expect it
        return subprocess.run(call, cwd=ROOT, env=self.environment, text=True, check=False, **more)

    def misjudged(self) -> list[str]:
        """What it does not see of planted faults, or sees where there is none."""
        library = str(self.folder / "planted.so")
        flags = ("-O1", "-shared", "-fPIC", "-fopenmp", str(HERE / "planted.cpp"), "-o", library)
        subprocess.run([*self.compiler, *flags], check=True)
        wrong = [] if self.run("-c", PLANTED, library, "turns", "4") else ["turns"]
        for fault, told in self.sanitizer.faults.items():
            ended = self._ended(["-c", PLANTED, library, fault, "0"], stderr=subprocess.PIPE)
            if not ended.returncode or told not in ended.stderr:
                wrong.append(fault)
        return wrong

    def foreign(self) -> list[str]:
        """Libraries whose threads the sanitizer cannot follow."""
        built = (self.folder / "secondread-native").glob("*.so")
        listed = {library.name: _told(["nm", "-D", "--undefined-only", str(library)]) for library in built}
        return [name for name, symbols in listed.items() if "GOMP_" in symbols or "omp_" in symbols]


def _told(call: Sequence[str]) -> str:
    return subprocess.run(call, check=True, capture_output=True, text=True).stdout.strip()


def check(name: str, form: str, count: int) -> bool:
    with tempfile.TemporaryDirectory() as scratch:
        watched = Watched(SANITIZERS[name], form, Path(scratch))
        if wrong := watched.misjudged():
            print(f"{name}, {form}: planted, and not judged as it should be: {', '.join(wrong)}", flush=True)
            return False
        odd, counted = str(HERE / "odd_calls.py"), ("--count", str(count))
        good = watched.run(*PYTEST, "-p", "in_lengths", *TESTS)
        good &= watched.run(odd, *counted)
        good &= watched.run(odd, *counted, "--callers", "3")
        if name == "thread" and (foreign := watched.foreign()):
            good = False
            print(f"team.cpp lacks a function of OpenMP that is used by {', '.join(foreign)}", flush=True)
    print(f"== {name}, {form}: {'nothing found' if good else 'FAULTS'}", flush=True)
    return good


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--sanitizers", nargs="+", choices=list(SANITIZERS), default=list(SANITIZERS))
    parser.add_argument("--forms", nargs="+", choices=FORMS, default=FORMS)
    parser.add_argument("--count", type=int, default=60, help="drawn calls of each kind")
    given = parser.parse_args()
    asked = [
        (name, form) for name in given.sanitizers for form in SANITIZERS[name].forms if form in given.forms
    ]
    found = [check(name, form, given.count) for name, form in asked]
    sys.exit(not all(found))


if __name__ == "__main__":
    main()

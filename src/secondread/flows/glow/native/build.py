"""Compiles the network once per machine, at its first use, and loads it."""

from __future__ import annotations

import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
import threading
import warnings
from pathlib import Path

import torch

from secondread.flows.glow.native.kernel import Kernel

SWITCH = "SECONDREAD_NATIVE"
"""Set to 0, nothing is compiled and nothing compiled is used."""
FEATURES = ("avx512f", "avx512bw", "avx512vl", "avx512dq", "avx512bf16", "amx-tile", "amx-bf16")
FLAGS = ("-O3", "-std=c++17", "-shared", "-fPIC", "-fopenmp", "-w", *(f"-m{name}" for name in FEATURES))
COMPILERS = ("g++", "clang++", "c++")
LONGEST_BUILD = 300.0
"""Seconds after which a compiler is given up; three are usual."""

_lock = threading.Lock()
_found: dict[str, Kernel | str] = {}


def native() -> Kernel | None:
    """The compiled network, built where it is not yet; None where there is none (`why_not`).

    A build that fails is warned of once, and not tried again in this process.
    """
    found = _outcome()
    return None if isinstance(found, str) else found


def why_not() -> str:
    """In one line, why `native()` is None; empty where it is not."""
    found = _outcome()
    return found if isinstance(found, str) else ""


def _outcome() -> Kernel | str:
    if os.environ.get(SWITCH) == "0":
        return f"switched off by {SWITCH}=0"
    with _lock:
        if "kernel" not in _found:
            _found["kernel"] = _unsuitable() or _load()
        return _found["kernel"]


def _unsuitable() -> str:
    """Why this machine cannot run it, whatever it has installed; empty where it can."""
    if sys.platform != "linux" or not torch.cpu.get_capabilities().get("amx_bf16"):
        return "the CPU has no AMX" if sys.platform == "linux" else f"not made for {sys.platform}"
    return ""


def _load() -> Kernel | str:
    try:
        library = _library()
        if isinstance(library, str):
            return library
        return Kernel(library)
    except subprocess.CalledProcessError as error:
        problem = f"the build failed: {_first_error(error.stderr)}"
    except (OSError, subprocess.TimeoutExpired) as error:
        problem = f"the build failed: {' '.join(str(error).split())[:300]}"
    warnings.warn(
        f"the compiled coupling network is not used, fits take longer: {problem}",
        RuntimeWarning,
        stacklevel=4,
    )
    return problem


def _library() -> Path | str:
    """The shared library, compiled where no earlier process did; or why there can be none."""
    here = Path(__file__).parent
    sources = sorted((*here.glob("*.h"), *here.glob("*.cpp")))
    known = hashlib.sha256(" ".join((*FLAGS, platform.machine(), *platform.libc_ver())).encode())
    for source in sources:
        known.update(source.read_bytes())
    stem = f"coupling-{known.hexdigest()[:24]}"
    for library in folder().glob(f"{stem}-*.so"):
        if _is_own(library) and library.name == _named(stem, library):
            return library
    compiler = _compiler()
    if compiler is None:
        return f"no C++ compiler found ({', '.join(COMPILERS)}, or CXX)"
    folder().mkdir(mode=0o700, parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder()) as scratch:
        made = Path(scratch) / f"{stem}.so"
        command = [*compiler, *FLAGS, str(here / "coupling.cpp"), "-o", str(made)]
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=LONGEST_BUILD)
        library = folder() / _named(stem, made)
        made.replace(library)  # whole at once: another process may be building or loading the same
    return library


def _named(stem: str, library: Path) -> str:
    """A library's file name, which holds its digest, so that a damaged one is built again."""
    return f"{stem}-{hashlib.sha256(library.read_bytes()).hexdigest()[:24]}.so"


def folder() -> Path:
    """Where libraries are kept: the user's own caches, not `SECONDREAD_CACHE`, which users may share."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "secondread-native"


def _is_own(library: Path) -> bool:
    """Code that somebody else could have put there is not loaded."""
    return library.stat().st_uid == os.getuid() and not library.parent.stat().st_mode & 0o022


def _compiler() -> list[str] | None:
    if given := os.environ.get("CXX"):
        return shlex.split(given)
    return next(([found] for name in COMPILERS if (found := shutil.which(name))), None)


def _first_error(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return next((line for line in lines if "error" in line), lines[0] if lines else "no message")[:300]

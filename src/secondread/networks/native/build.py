"""Loads a form of some code: as a wheel ships it, or compiled once per machine, at its first use."""

from __future__ import annotations

import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Generic, TypeVar, cast

import torch

from secondread.errors import UserError
from secondread.networks.native.forms import HEADERS, Form, find_form
from secondread.outputs.lock import only_one
from secondread.terminal.events import log_event

SWITCH = "SECONDREAD_NATIVE"
"""Set to 0, nothing is compiled and nothing compiled is used; to 1, what is compiled is used without the
trial (`trial`)."""
COMPILERS = ("g++", "clang++", "c++")
SHIPPED = HEADERS / "compiled"
"""Where a wheel with compiled code (`make wheel`) has the libraries; absent elsewhere."""
LONGEST_BUILD = 300.0
"""Seconds after which a compiler is given up; three to six are usual."""

Kernel = TypeVar("Kernel")
_lock = threading.Lock()
_found: dict[tuple[str, torch.dtype], tuple[object, Path] | str] = {}
"""By code and precision."""


@dataclass(frozen=True)
class Code(Generic[Kernel]):
    """Functions in C++, for the processors that `forms` names, the best of each precision first.

    name     of its libraries' files
    load     a form's functions, of its library; OSError where it cannot be loaded
    without  what it is like without it, for the warning where a build fails
    """

    name: str
    forms: Sequence[Form]
    load: Callable[[Form, Path], Kernel]
    without: str

    def native(self, precision: torch.dtype) -> Kernel | None:
        """Its functions, built where they are not yet; None where there are none (`why_not`).

        A build that fails is warned of once, and not tried again in this process.
        """
        found = self._outcome(precision)
        return None if isinstance(found, str) else found[0]

    def why_not(self, precision: torch.dtype) -> str:
        """In one line, why `native(precision)` is None; empty where it is not."""
        found = self._outcome(precision)
        return found if isinstance(found, str) else ""

    def form_of(self, precision: torch.dtype) -> str:
        """The name of the form that `native(precision)` is; empty where it is None."""
        form = find_form(self.forms, precision)
        return "" if isinstance(form, str) or self.why_not(precision) else form.name

    def stamp(self, precision: torch.dtype) -> Path | None:
        """A file in the user's caches, of the library of `native(precision)` and this processor alone."""
        found = self._outcome(precision)
        if isinstance(found, str):
            return None
        return _stamp(found[1], folder())

    def _outcome(self, precision: torch.dtype) -> tuple[Kernel, Path] | str:
        if os.environ.get(SWITCH) == "0":
            return f"switched off by {SWITCH}=0"
        key = (self.name, precision)
        with _lock:
            if key not in _found:
                form = find_form(self.forms, precision)
                _found[key] = form if isinstance(form, str) else self.built(form)
            return cast("tuple[Kernel, Path] | str", _found[key])

    def built(self, form: Form) -> tuple[Kernel, Path] | str:
        """A form's functions and its library, or why there are none."""
        try:
            library = compiled_file(self.name, form)
            return library if isinstance(library, str) else (self.load(form, library), library)
        except subprocess.CalledProcessError as error:
            problem = f"the build failed: {_first_error(error.stderr)}"
        except (OSError, subprocess.TimeoutExpired) as error:
            problem = f"the build failed: {' '.join(str(error).split())[:300]}"
        warnings.warn(f"{self.without}: {problem}", RuntimeWarning, stacklevel=5)
        return problem


@cache
def _stamp(library: Path, place: Path) -> Path:
    return place / f"{library.stem}.{_processor()[:12]}"


@cache
def _processor() -> str:
    """A digest of what this processor can do."""
    return hashlib.sha256(repr(sorted(torch.cpu.get_capabilities().items())).encode()).hexdigest()


def compiled_file(name: str, form: Form) -> Path | str:
    """The shared library: a wheel's, or compiled where no earlier process did; or why there can be none."""
    if (shipped := SHIPPED / shipped_name(name, form)).exists():
        return shipped
    stem = f"{name}-{_digest(form, platform.machine(), *platform.libc_ver())}"
    if (kept := _kept(stem)) is not None:
        return kept
    if _compiler() is None:
        return f"no C++ compiler found ({', '.join(COMPILERS)}, or CXX)"
    folder().mkdir(mode=0o700, parents=True, exist_ok=True)
    with ExitStack() as held, tempfile.TemporaryDirectory(dir=folder()) as scratch:
        with suppress(UserError):  # without a lock, processes that start at once each compile it
            held.enter_context(only_one(folder() / stem, beside=True, wait_seconds=LONGEST_BUILD))
        if (kept := _kept(stem)) is not None:
            return kept
        made, begun = Path(scratch) / f"{stem}.so", time.monotonic()
        compile_form(form, made)
        library = folder() / _named(stem, made)
        made.replace(library)  # whole at once: another process may be loading the same
        log_event("native code compiled", code=name, form=form.name, seconds=time.monotonic() - begun)
    return library


def _kept(stem: str) -> Path | None:
    """The library in the user's caches that is whole and that nobody else could have put there."""
    for library in folder().glob(f"{stem}-*.so"):
        if _is_own(library) and library.name == _named(stem, library):
            return library
    return None


def shipped_name(name: str, form: Form) -> str:
    """Of a library in a wheel, which is of these sources alone."""
    return f"{name}-{_digest(form, form.machine)}.so"


def _digest(form: Form, *of_machine: str) -> str:
    """Of sources and flags."""
    known = hashlib.sha256(" ".join((*form.flags, *of_machine)).encode())
    own = form.path.parent
    folders = (HEADERS, own.parent, own)
    for source in (*(file for each in folders for file in sorted(each.glob("*.h"))), form.path):
        known.update(source.read_bytes())
    return known.hexdigest()[:24]


def compile_form(form: Form, library: Path) -> None:
    """Raises CalledProcessError with what the compiler said, TimeoutExpired or OSError."""
    command = [*(_compiler() or ()), *form.flags, *form.includes, str(form.path), "-o", str(library)]
    subprocess.run(command, check=True, capture_output=True, text=True, timeout=LONGEST_BUILD)


def _named(stem: str, library: Path) -> str:
    """A library's file name, which holds its digest, so that a damaged one is built again."""
    return f"{stem}-{hashlib.sha256(library.read_bytes()).hexdigest()[:24]}.so"


def folder() -> Path:
    """Where libraries are kept: the user's own caches, not `SECONDREAD_CACHE`, which users may share."""
    return _folder(os.environ.get("XDG_CACHE_HOME"), os.environ.get("HOME"))


@cache
def _folder(caches: str | None, _home: str | None) -> Path:
    return Path(caches or Path.home() / ".cache") / "secondread-native"


def _is_own(library: Path) -> bool:
    return library.stat().st_uid == os.getuid() and not library.parent.stat().st_mode & 0o022


def _compiler() -> list[str] | None:
    if given := os.environ.get("CXX"):
        return shlex.split(given)
    return next(([found] for name in COMPILERS if (found := shutil.which(name))), None)


def circumstances() -> str:
    """By what, beside a trial's verdict, which stays, it is decided whether compiled code is used here."""
    return f"{SWITCH}={os.environ.get(SWITCH, '')} {' '.join(_compiler() or ['no compiler'])}"


def _first_error(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return next((line for line in lines if "error" in line), lines[0] if lines else "no message")[:300]

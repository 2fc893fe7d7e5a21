"""The tests in every form in which this machine stands in for another processor (`forms.py`).

The whole suite runs in two forms, the tests marked `numerical` in all; with --quick the numerical tests whose
arithmetic is most apt to differ, in one form. After each form the table is written anew: form, tests passed,
failed, skipped, seconds, processor. Ends with 1 where a test failed.

    make processors
    python benchmarks/machines/processors.py --forms "ATen AVX2" -o runs/avx2.md
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import torch
from forms import FORMS, environment

from secondread.scoring.bf16_speed import processor_name

ROOT = Path(__file__).resolve().parents[2]
WHOLE = ("as it is", "older CPU")
EMULATED = {
    "avx512.py": ("x86_64-linux-gnu-g++", "bochs"),
    "neon.py": ("aarch64-linux-gnu-g++", "qemu-aarch64"),
}
"""Scripts in `emulated` that run the compiled code in an emulator, and what they need."""
QUICK_FORM = "older CPU"
QUICK = ("tests/laws/test_laws.py", "tests/flows/glow/test_gradients.py", "tests/readings/test_score.py")
QUICK_TESTS = "not (test_2 or test_3 or test_4 or test_5 or test_6 or test_7 or test_8 or 3d or bf16)"
"""Of the laws the one on batches, for which each detector is fitted once, in two dimensions."""


@dataclass(frozen=True)
class Outcome:
    form: str
    tests: str
    passed: int
    failed: int
    skipped: int
    seconds: float
    names: tuple[str, ...]


def run(form: str, tests: str, arguments: Sequence[str], processes: int) -> Outcome:
    """Pytest in a process of its own in this form."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        call = [sys.executable, "-m", "pytest", "-n", str(processes), "--junit-xml", str(report), *arguments]
        begun = time.monotonic()
        ended = subprocess.run(call, cwd=ROOT, env=environment(form)).returncode
        seconds = time.monotonic() - begun
        if ended not in (0, 1):
            sys.exit(f"{form}: pytest ended with {ended} before it had run the tests")
        suite = ElementTree.parse(report).getroot()[0]
    count = {what: int(suite.get(what, 0)) for what in ("tests", "failures", "errors", "skipped")}
    failed = count["failures"] + count["errors"]
    names = tuple(
        f"{case.get('classname')}::{case.get('name')}"
        for case in suite.iter("testcase")
        if case.find("failure") is not None or case.find("error") is not None
    )
    passed = count["tests"] - failed - count["skipped"]
    return Outcome(form, tests, passed, failed, count["skipped"], seconds, names)


def emulate(script: str) -> Outcome:
    """One of `EMULATED` as one test, skipped where a program is not there."""
    missing = [name for name in EMULATED[script] if shutil.which(name) is None]
    if missing:
        print(f"{script}: not run, there is no {' and no '.join(missing)}", flush=True)
        return Outcome(script, "in an emulator", 0, 0, 1, 0.0, ())
    begun = time.monotonic()
    call = [sys.executable, str(Path(__file__).parent / "emulated" / script)]
    failed = subprocess.run(call, env=environment("as it is")).returncode != 0
    seconds = time.monotonic() - begun
    return Outcome(script, "in an emulator", not failed, failed, 0, seconds, (script,) * failed)


def table(outcomes: Sequence[Outcome]) -> str:
    """Markdown, with the failed tests below."""
    features = torch.backends.cpu.get_cpu_capability()
    lines = [
        f"{processor_name()} ({features}), torch {torch.__version__}",
        "",
        "| form | variables | tests | passed | failed | skipped | seconds |",
        "|---|---|---|---|---|---|---|",
    ]
    for o in outcomes:
        variables = " ".join(f"`{name}={value}`" for name, value in FORMS.get(o.form, {}).items()) or "–"
        counts = f"{o.passed} | {o.failed} | {o.skipped}"
        lines.append(f"| {o.form} | {variables} | {o.tests} | {counts} | {o.seconds:.0f} |")
    lines += ["", *(f"- {o.form}: {name}" for o in outcomes for name in o.names)]
    return "\n".join(lines).rstrip() + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--forms", nargs="+", choices=list(FORMS), default=list(FORMS), metavar="FORM")
    parser.add_argument("--numerical", action="store_true", help="the whole suite in no form")
    parser.add_argument("--quick", action="store_true", help=f"a part, in the form {QUICK_FORM!r} alone")
    parser.add_argument("-n", type=int, default=2, help="processes")
    parser.add_argument("-o", type=Path, help="a file for the table")
    parser.add_argument("tests", nargs="*", help="paths in place of all tests")
    given = parser.parse_args()
    outcomes: list[Outcome] = []
    forms = [QUICK_FORM] if given.quick else given.forms
    everything = not given.quick and not given.tests and forms == list(FORMS)
    for form in (*forms, *(EMULATED if everything else ())):
        print(f"== {form}", flush=True)
        if form in EMULATED:
            outcomes.append(emulate(form))
        elif given.quick:
            outcomes.append(run(form, "quick", ["-m", "numerical", "-k", QUICK_TESTS, *QUICK], given.n))
        elif form in WHOLE and not given.numerical and not given.tests:
            outcomes.append(run(form, "all", [], given.n))
        else:
            outcomes.append(run(form, "numerical", ["-m", "numerical", *given.tests], given.n))
        if given.o:
            given.o.parent.mkdir(parents=True, exist_ok=True)
            given.o.write_text(table(outcomes), encoding="utf-8")
    print(table(outcomes))
    sys.exit(any(outcome.failed for outcome in outcomes))


if __name__ == "__main__":
    main()

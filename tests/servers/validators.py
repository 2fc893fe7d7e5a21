"""The field's own validators, and what they say of a file.

dciodvfy   an object against the standard's definition of its kind: modules, attributes, values, frames
dcentvfy   several objects against each other: one patient, study, series and frame of reference
dsrdump    a structured report against the rules of its content tree

The first two are dicom3tools', the last dcmtk's.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

VALIDATORS = ("dciodvfy", "dcentvfy", "dsrdump")
FINDING = re.compile(r"(?:Error|Warning) - .*")
FILES = re.compile(r" for file <.*")


def missing() -> str | None:
    """Why files cannot be validated here."""
    absent = [name for name in VALIDATORS if shutil.which(name) is None]
    return f"{', '.join(absent)} not installed: run tests/servers/install.sh as root" if absent else None


@dataclass(frozen=True)
class Accepted:
    """Findings that are right to be there, and why.

    finding  a regular expression for the whole line
    objects  kinds of results that may have it
    because  the reason, for a person
    """

    finding: str
    objects: tuple[str, ...]
    because: str

    def covers(self, kind: str, line: str) -> bool:
        return kind in self.objects and re.fullmatch(self.finding, line) is not None


def accepted_findings(file: Path) -> list[Accepted]:
    return [
        Accepted(one["finding"], tuple(one["objects"]), one["because"])
        for one in yaml.safe_load(file.read_text(encoding="utf-8"))
    ]


def findings(file: Path) -> list[str]:
    """What dciodvfy says of a file: its errors and warnings, each once, in its order."""
    return _lines(["dciodvfy", str(file)])


def disagreements(files: Iterable[Path]) -> list[str]:
    """What dcentvfy says of files of one study, without the names of files."""
    return _lines(["dcentvfy", *map(str, files)])


def unreadable_report(file: Path) -> str:
    """What dsrdump says against a structured report; empty where it reads it whole."""
    ran = subprocess.run(["dsrdump", "--quiet", str(file)], capture_output=True, text=True, errors="replace")
    if ran.returncode == 0 and not ran.stderr.strip():
        return ""
    return ran.stderr.strip() or f"exit status {ran.returncode}"


def left_over(
    kind: str, found: Sequence[str], source: Sequence[str], accepted: Sequence[Accepted]
) -> list[str]:
    """Findings of a result that are neither accepted nor said of its source in the same words."""
    return [
        line
        for line in found
        if line not in source and not any(reason.covers(kind, line) for reason in accepted)
    ]


def _lines(command: list[str]) -> list[str]:
    ran = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=120)
    lines = [FILES.sub("", line).rstrip() for line in (ran.stderr + ran.stdout).splitlines()]
    found = list(dict.fromkeys(line for line in lines if FINDING.fullmatch(line)))
    assert ran.returncode == 0 or found, f"{command[0]} failed: {lines[-3:]}"
    return found

"""Compiled code in the lengths of one form, WATCHED_FORM, as far as this machine can run them: a plugin of
pytest, and imported by `odd_calls.py`.

The vectors of AVX-512 and of NEON are compiled for AVX2 (`lengths.py`). Less is rearranged than in
use, so that a sanitizer sees what is written.
"""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from secondread.networks.native import build, forms
from secondread.networks.native.forms import Form

sys.path.insert(0, str(Path(__file__).parent))
from lengths import in_its_lengths

NAME = os.environ["WATCHED_FORM"]
KINDS = {torch.float32: NAME, torch.bfloat16: f"{NAME} with bf16"}


def watched(given: Sequence[Form], precision: torch.dtype) -> Form | str:
    """In place of `forms.find_form`."""
    found = [form for form in given if form.name == KINDS.get(precision)]
    if not found:
        return f"no form {NAME} in {precision}"
    form = in_its_lengths(found[0])
    kept = [flag for flag in form.flags if not flag.startswith("-march=")]
    flags = tuple("-O1" if flag == "-O3" else flag for flag in kept)
    return replace(form, machine=platform.machine(), needs=(), flags=flags)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """A test that is skipped has shown nothing."""
    if session.config.pluginmanager.get_plugin("terminalreporter").stats.get("skipped"):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


forms.find_form = watched
build.find_form = watched
build.LONGEST_BUILD = 3600.0

"""Which form of a coupling's network runs, and that every form compiles."""

import os
import subprocess

import pytest
import torch

from secondread.flows.glow import choice
from secondread.flows.glow.native import native, why_not
from secondread.flows.glow.native.forms import FORMS
from secondread.networks.native import build, trial
from secondread.networks.native.forms import find_form

SINGLE = torch.float32
suitable = pytest.mark.skipif(isinstance(find_form(FORMS, SINGLE), str), reason="no form for this processor")


def test_both_precisions_are_told_where_it_is_switched_off(monkeypatch):
    monkeypatch.setenv(build.SWITCH, "0")
    assert choice.told().count("none (switched off by SECONDREAD_NATIVE=0)") == 2


def test_every_x86_form_compiles():
    """Also those that this processor cannot run."""
    compiler = build._compiler()
    if compiler is None or os.uname().machine != "x86_64":
        pytest.skip("needs a C++ compiler for x86-64")
    for form in FORMS:
        if form.machine == "x86_64":
            flags = [flag for flag in form.flags if flag not in ("-O3", "-shared", "-w")]
            flags += [*form.includes, "-Wall", "-Wno-unknown-pragmas", "-fsyntax-only"]
            done = subprocess.run([*compiler, *flags, str(form.path)], capture_output=True, text=True)
            assert (done.returncode, done.stderr) == (0, ""), f"{form.name}: {done.stderr[:2000]}"


@suitable
def test_a_trial_is_made_once_and_kept(monkeypatch, tmp_path):
    """And its verdict decides which form runs."""
    monkeypatch.setattr(choice, "stamp", lambda dtype: tmp_path / "library.processor")
    monkeypatch.delenv(build.SWITCH, raising=False)
    kernel = native(SINGLE)
    if kernel is None:
        pytest.skip(why_not(SINGLE))
    monkeypatch.setattr(trial, "_known", {})
    first = choice.gain_over_torch(kernel, SINGLE)
    assert first > 0
    monkeypatch.setattr(trial, "_known", {})
    assert choice.gain_over_torch(kernel, SINGLE) == pytest.approx(first, abs=0.001)
    values = [value.detach() for value in choice.CouplingNet(2, 1, 1, 8).values()]
    for kept, kind in (("0.900", choice.Folded), ("1.100", choice.Compiled)):
        (tmp_path / "library.processor").write_text(kept)
        monkeypatch.setattr(trial, "_known", {})
        assert isinstance(choice.network_of(values, SINGLE), kind)
    (tmp_path / "library.processor").write_text("0.900")
    monkeypatch.setattr(trial, "_known", {})
    assert "0.90 times as fast as torch here" in choice.told()
    monkeypatch.setenv(build.SWITCH, "1")
    assert isinstance(choice.network_of(values, SINGLE), choice.Compiled)

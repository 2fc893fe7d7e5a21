"""The compiled library as a file: built once, kept, and not trusted blindly."""

import os
import shlex
import subprocess
import sys
import warnings

import pytest
import torch

from secondread.flows.glow import choice
from secondread.flows.glow.native import build, form_of, native, why_not
from secondread.flows.glow.native.forms import FORMS, find_form

SINGLE = torch.float32
FORM = next(form for form in FORMS if form.name == "AVX2")
suitable = pytest.mark.skipif(isinstance(find_form(SINGLE), str), reason="no form for this processor")


@pytest.fixture
def fresh(monkeypatch, tmp_path):
    """As in a process that has not built anything, of a user who has not either."""
    monkeypatch.setattr(build, "_found", {})
    monkeypatch.delenv(build.SWITCH, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return monkeypatch


def test_a_damaged_library_is_built_again(fresh):
    write = "import sys; open(sys.argv[sys.argv.index('-o') + 1], 'wb').write(b'library' * 100)"
    fresh.setenv("CXX", shlex.join([sys.executable, "-c", write]))
    library = build._library(FORM)
    fresh.setenv("CXX", "false")
    assert build._library(FORM) == library
    data = library.read_bytes()
    library.write_bytes(data[:50] + b"\0" + data[51:])
    fresh.setenv("CXX", shlex.join([sys.executable, "-c", write]))
    assert build._library(FORM).read_bytes() == data


def test_it_can_be_switched_off(fresh):
    fresh.setenv(build.SWITCH, "0")
    assert native(SINGLE) is None
    assert why_not(SINGLE) == "switched off by SECONDREAD_NATIVE=0"
    assert form_of(SINGLE) == ""
    assert choice.told().count("none (switched off by SECONDREAD_NATIVE=0)") == 2


@suitable
def test_without_a_compiler_there_is_none(fresh):
    fresh.delenv("CXX", raising=False)
    fresh.setenv("PATH", "")
    assert native(SINGLE) is None
    assert "no C++ compiler" in why_not(SINGLE)


@suitable
def test_a_build_that_fails_is_warned_of_once(fresh):
    script = "import sys; sys.exit('coupling.cpp:1: fatal error: no such header')"
    fresh.setenv("CXX", shlex.join([sys.executable, "-c", script]))
    with pytest.warns(RuntimeWarning, match="no such header"):
        assert native(SINGLE) is None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert native(SINGLE) is None
    assert why_not(SINGLE) == "the build failed: coupling.cpp:1: fatal error: no such header"


@suitable
def test_a_library_in_a_folder_that_others_may_write_is_not_loaded(fresh):
    folder = build.folder()
    folder.mkdir()
    folder.chmod(0o777)
    fresh.setenv("CXX", "false")
    with pytest.warns(RuntimeWarning, match="the build failed"):
        assert native(SINGLE) is None


def test_a_processor_without_a_form_is_told(monkeypatch):
    monkeypatch.setattr("secondread.flows.glow.native.forms.features", frozenset)
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    monkeypatch.setattr("sys.platform", "linux")
    assert find_form(torch.float32) == "the CPU has no AVX2 or AVX-512"
    assert find_form(torch.bfloat16) == "the CPU has no AVX-512 with bf16 or AMX"
    monkeypatch.setattr("platform.machine", lambda: "riscv64")
    assert find_form(torch.float32) == "not made for riscv64"


def test_every_x86_form_compiles():
    """Also those that this processor cannot run."""
    compiler = build._compiler()
    if compiler is None or os.uname().machine != "x86_64":
        pytest.skip("needs a C++ compiler for x86-64")
    for form in FORMS:
        if form.machine == "x86_64":
            flags = [flag for flag in form.flags if flag not in ("-O3", "-shared", "-w")]
            command = [*compiler, *flags, "-Wall", "-Wno-unknown-pragmas", "-fsyntax-only", str(form.path)]
            done = subprocess.run(command, capture_output=True, text=True)
            assert (done.returncode, done.stderr) == (0, ""), f"{form.name}: {done.stderr[:2000]}"


@suitable
def test_a_trial_is_made_once_and_kept(monkeypatch, tmp_path):
    """And its verdict decides which form runs."""
    monkeypatch.setattr(choice, "stamp", lambda dtype: tmp_path / "library.processor")
    monkeypatch.setattr(choice, "native", lambda dtype: build.native(dtype))
    monkeypatch.delenv(build.SWITCH, raising=False)
    kernel = native(SINGLE)
    if kernel is None:
        pytest.skip(why_not(SINGLE))
    monkeypatch.setattr(choice, "_known", {})
    first = choice.gain_over_torch(kernel, SINGLE)
    assert first > 0
    monkeypatch.setattr(choice, "_known", {})
    assert choice.gain_over_torch(kernel, SINGLE) == pytest.approx(first, abs=0.001)
    values = [value.detach() for value in choice.CouplingNet(2, 1, 1, 8).values()]
    for kept, kind in (("0.900", choice.Folded), ("1.100", choice.Compiled)):
        (tmp_path / "library.processor").write_text(kept)
        monkeypatch.setattr(choice, "_known", {})
        assert isinstance(choice.network_of(values, SINGLE), kind)
    (tmp_path / "library.processor").write_text("0.900")
    monkeypatch.setattr(choice, "_known", {})
    assert "0.90 times as fast as torch here" in choice.told()
    monkeypatch.setenv(build.SWITCH, "1")
    assert isinstance(choice.network_of(values, SINGLE), choice.Compiled)

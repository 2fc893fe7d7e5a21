"""The compiled library as a file: built once, kept, and not trusted blindly."""

import os
import re
import shlex
import subprocess
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
import torch

from secondread.estimators.compiled_normalisation.kernel import CODE as NORMALISATION
from secondread.networks.convolution3 import frozen_kernel
from secondread.networks.convolution3.doublings.kernel import CODE as DOUBLINGS
from secondread.networks.convolution3.kernel import CODE
from secondread.networks.convolution3.winograd import CHOICE
from secondread.networks.native import build
from secondread.networks.native.forms import find_form

SINGLE = torch.float32
FORM = next(form for form in CODE.forms if form.name == "AVX2")
suitable = pytest.mark.skipif(
    isinstance(find_form(CODE.forms, SINGLE), str), reason="no form for this processor"
)


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
    library = build.compiled_file(CODE.name, FORM)
    fresh.setenv("CXX", "false")
    assert build.compiled_file(CODE.name, FORM) == library
    data = library.read_bytes()
    library.write_bytes(data[:50] + b"\0" + data[51:])
    fresh.setenv("CXX", shlex.join([sys.executable, "-c", write]))
    assert build.compiled_file(CODE.name, FORM).read_bytes() == data


def test_processes_that_start_at_once_compile_it_once(fresh, tmp_path):
    write = (
        "import os, sys, time; open(sys.argv[1], 'a').write('x'); time.sleep(0.3); "
        "open(sys.argv[sys.argv.index('-o') + 1], 'wb').write(b'library')"
    )
    fresh.setenv("CXX", shlex.join([sys.executable, "-c", write, str(tmp_path / "times")]))
    with ThreadPoolExecutor(3) as threads:  # the lock is one of open files, so threads stand for processes
        found = list(threads.map(lambda _: build.compiled_file(CODE.name, FORM), range(3)))
    assert len(set(found)) == 1
    assert (tmp_path / "times").read_text() == "x"
    assert [file.suffix for file in build.folder().iterdir()] == [".so"]


def test_it_can_be_switched_off(fresh):
    fresh.setenv(build.SWITCH, "0")
    assert CODE.native(SINGLE) is None
    assert CODE.why_not(SINGLE) == "switched off by SECONDREAD_NATIVE=0"
    assert CODE.form_of(SINGLE) == ""
    assert CHOICE.told() == "by torch (switched off by SECONDREAD_NATIVE=0)"


@suitable
def test_without_a_compiler_there_is_none(fresh):
    fresh.delenv("CXX", raising=False)
    fresh.setenv("PATH", "")
    assert CODE.native(SINGLE) is None
    assert "no C++ compiler" in CODE.why_not(SINGLE)


@suitable
def test_a_library_that_a_wheel_brings_is_used_without_a_compiler_and_its_trial_kept_in_the_caches(
    fresh, tmp_path
):
    if build._compiler() is None:
        pytest.skip("needs a C++ compiler, to make what a wheel brings")
    form = find_form(CODE.forms, SINGLE)
    shipped = tmp_path / "site" / "compiled"
    shipped.mkdir(parents=True)
    build.compile_form(form, shipped / build.shipped_name(CODE.name, form))
    fresh.setattr(build, "SHIPPED", shipped)
    fresh.setenv("CXX", "false")
    assert f"by code compiled for {form.name}" in CHOICE.told() or "by torch (code compiled" in CHOICE.told()
    assert [file.parent for file in tmp_path.rglob("*.*") if file.is_file() and file.suffix != ".so"] == [
        build.folder()
    ]


@suitable
def test_a_library_in_a_wheel_that_is_of_other_sources_is_not_used(fresh, tmp_path):
    form = find_form(CODE.forms, SINGLE)
    (tmp_path / build.shipped_name(CODE.name, replace(form, flags=("-O2",)))).touch()
    fresh.setattr(build, "SHIPPED", tmp_path)
    fresh.delenv("CXX", raising=False)
    fresh.setenv("PATH", "")
    assert "no C++ compiler" in CODE.why_not(SINGLE)


def test_a_wheel_holds_all_compiled_code_that_there_is():
    source = build.HEADERS.parents[1]
    made = [file for file in source.rglob("*.py") if re.search(r"^\w+ = Code\(", file.read_text(), re.M)]
    script = (source.parents[1] / "deploy" / "compiled_wheel.py").read_text()
    named = re.findall(r"^from secondread\.(\S+) import", script, re.M)
    for file in made:
        place = ".".join(file.relative_to(source).with_suffix("").parts).removesuffix(".__init__")
        assert place in named


@suitable
def test_a_build_that_fails_is_warned_of_once(fresh):
    script = "import sys; sys.exit('convolution.cpp:1: fatal error: no such header')"
    fresh.setenv("CXX", shlex.join([sys.executable, "-c", script]))
    with pytest.warns(RuntimeWarning, match="no such header"):
        assert CODE.native(SINGLE) is None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert CODE.native(SINGLE) is None
    assert CODE.why_not(SINGLE) == "the build failed: convolution.cpp:1: fatal error: no such header"


@suitable
def test_a_library_in_a_folder_that_others_may_write_is_not_loaded(fresh):
    folder = build.folder()
    folder.mkdir()
    folder.chmod(0o777)
    fresh.setenv("CXX", "false")
    with pytest.warns(RuntimeWarning, match="the build failed"):
        assert CODE.native(SINGLE) is None


def test_a_processor_without_a_form_is_told(monkeypatch):
    monkeypatch.setattr("secondread.networks.native.forms.features", frozenset)
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    monkeypatch.setattr("sys.platform", "linux")
    assert find_form(CODE.forms, SINGLE) == "the CPU has no AVX2 or AVX-512"
    monkeypatch.setattr("platform.machine", lambda: "riscv64")
    assert find_form(CODE.forms, SINGLE) == "not made for riscv64"


def test_every_x86_form_compiles():
    """Also those that this processor cannot run."""
    compiler = build._compiler()
    if compiler is None or os.uname().machine != "x86_64":
        pytest.skip("needs a C++ compiler for x86-64")
    for form in (*CODE.forms, *frozen_kernel.CODE.forms, *DOUBLINGS.forms, *NORMALISATION.forms):
        if form.machine == "x86_64":
            flags = [flag for flag in form.flags if flag not in ("-O3", "-shared", "-w")]
            flags += [*form.includes, "-Wall", "-Wno-unknown-pragmas", "-fsyntax-only"]
            done = subprocess.run([*compiler, *flags, str(form.path)], capture_output=True, text=True)
            assert (done.returncode, done.stderr) == (0, ""), f"{form.name}: {done.stderr[:2000]}"

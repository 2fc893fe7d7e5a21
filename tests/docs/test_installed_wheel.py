"""The README's example as a user runs it: from a built wheel, in an empty folder, without a network."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

from secondread import make_phantoms

ROOT = Path(__file__).resolve().parents[2]
BLOCKS = re.findall(r"^```sh\n(.*?)^```", (ROOT / "README.md").read_text(encoding="utf-8"), re.S | re.M)
LINES = [line.partition("#")[0].strip() for block in BLOCKS for line in block.splitlines()]
STEPS = [line for line in LINES if line.startswith("secondread ")]
NO_NETWORK = """
import socket

def refuse(self, address, *rest):
    if self.family != socket.AF_UNIX:
        raise OSError(f"this test has no network, and something calls {address}")

socket.socket.connect = socket.socket.connect_ex = refuse
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy of the sources, so that nothing is left beside them."""
    copy = tmp_path_factory.mktemp("sources")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    shutil.copytree(
        ROOT / "src", copy / "src", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info", "*.so")
    )
    build = (
        "from setuptools.build_meta import build_wheel; build_wheel('dist')"  # pip asks for metadata first
    )
    subprocess.run([sys.executable, "-c", build], cwd=copy, stdout=subprocess.DEVNULL, check=True)
    (built,) = (copy / "dist").glob("*.whl")
    return built


def alone_in(folder: Path) -> dict[str, str]:
    """The variables of a user who has the folder's environment active, and set nothing of ours."""
    ours = {"PYTHONPATH", "SECONDREAD_WEIGHTS", "SECONDREAD_CACHE"}
    settings = {key: value for key, value in os.environ.items() if key not in ours}
    commands = folder / "environment" / "bin"
    return settings | {"HOME": str(folder), "PATH": f"{commands}{os.pathsep}{settings['PATH']}"}


@pytest.fixture(scope="module")
def done(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which the example was run, in an environment of its own. It finds the dependencies of
    this one by a path, and pip, which may fetch nothing, finds that all of them are there."""
    folder = tmp_path_factory.mktemp("empty")
    environment = folder / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(environment)], check=True)
    python = environment / "bin" / "python"
    paths = {"base": str(environment), "platbase": str(environment)}
    site = Path(sysconfig.get_path("purelib", "posix_prefix", vars=paths))
    (site / "dependencies.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
    wanted = f"secondread[weights] @ {wheel.as_uri()}"
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install"]
    subprocess.run([*pip, "--no-index", "--no-compile", "--quiet", wanted], env=alone_in(folder), check=True)
    (site / "sitecustomize.py").write_text(NO_NETWORK)
    make_phantoms(folder / "drawn", seed=2, n_normal=70, n_abnormal=8, size=(64, 64))
    for label, name in (("normal", "normal"), ("abnormal", "pneumonia")):
        (folder / "films" / name).mkdir(parents=True)
        for number, file in enumerate(sorted((folder / "drawn").glob(f"*/{label}/*.png"))):
            shutil.copy(file, folder / "films" / name / f"{number:04}.png")
    for step in STEPS:
        ran = subprocess.run(step.split(), cwd=folder, env=alone_in(folder), capture_output=True, text=True)
        assert ran.returncode == 0, (step, ran.stdout, ran.stderr)
    return folder


@pytest.mark.slow
def test_the_example_of_the_readme_runs_from_the_wheel_offline(done: Path) -> None:
    assert (done / "report" / "report.html").is_file()
    assert 0.0 <= json.loads((done / "report" / "metrics.json").read_text())["auroc"] <= 1.0


@pytest.mark.slow
def test_the_code_that_ran_was_that_of_the_wheel(done: Path) -> None:
    python = done / "environment" / "bin" / "python"
    shown = "import secondread; print(secondread.__file__)"
    ran = subprocess.run(
        [python, "-c", shown], cwd=done, env=alone_in(done), capture_output=True, text=True, check=True
    )
    assert Path(ran.stdout.strip()).is_relative_to(done / "environment")


def test_the_wheel_holds_the_service_with_its_pages_texts_and_migrations(wheel: Path) -> None:
    here = ROOT / "src" / "secondread" / "service"
    wanted = {
        path.relative_to(ROOT / "src").as_posix()
        for path in here.rglob("*")
        if path.is_file() and path.suffix not in (".pyc", ".mo")
    }
    with zipfile.ZipFile(wheel) as built:
        assert wanted <= set(built.namelist())
    kinds = {path.rpartition(".")[2] for path in wanted}
    assert {"py", "html", "css", "js", "svg", "po"} <= kinds
    assert "secondread/service/store/migrations/versions/v0001_first.py" in wanted

"""`docs/adding-a-method.md`, done as it says: its files written, installed, fitted, scored and evaluated."""

from __future__ import annotations

import json
import re
import runpy
import shlex
import subprocess
import sys
from importlib import invalidate_caches
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from secondread.anomalies.build import build_anomalies
from secondread.bundles.bundle import Bundle
from secondread.cli.main import app
from secondread.fitting.fit import fit
from secondread.recipes.recipe import Recipe
from secondread.registry import outside

pytestmark = pytest.mark.slow
PAGE = Path(__file__).resolve().parents[2] / "docs" / "adding-a-method.md"
TEXT = PAGE.read_text(encoding="utf-8")
FILES = dict(re.findall(r"^`([\w./-]+)`[^\n]*:\n\n```\w+\n(.*?)^```", TEXT, flags=re.DOTALL | re.MULTILINE))
COMMANDS = re.findall(r"^```sh\n(.*?)^```", TEXT, flags=re.DOTALL | re.MULTILINE)[0].splitlines()
QUICKLY = {"device": "cpu", "workers": 0, "progress": False}


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory):
    """The folder in which the page's commands have been run, one after another."""
    folder = tmp_path_factory.mktemp("sitting")
    forget_my_methods()
    for name, text in FILES.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("SECONDREAD_CACHE", str(folder / "cache"))
        patch.setattr(outside, "_allowed", set())
        for line in COMMANDS:
            run(shlex.split(line), folder, patch)
        yield folder
    forget_my_methods()


def forget_my_methods() -> None:
    """The package, which other tests have under the same name, is imported anew."""
    for module in [name for name in sys.modules if name.partition(".")[0] == "my_methods"]:
        del sys.modules[module]


def run(words: list[str], folder: Path, patch: pytest.MonkeyPatch) -> None:
    match words:
        case ["pip", "install", "."]:
            offline = ["--no-deps", "--no-build-isolation", "--no-index", "--quiet", "--target", "site"]
            subprocess.run([sys.executable, "-m", "pip", "install", *offline, "."], check=True, cwd=folder)
            patch.syspath_prepend(str(folder / "site"))
            invalidate_caches()
        case ["python", script]:
            runpy.run_path(script, run_name="__main__")
        case ["secondread", *rest]:
            if rest[0] in ("fit", "score"):
                rest += ["--workers", "0"]  # a worker takes a second to start, in each command
            result = CliRunner().invoke(app, rest)
            assert result.exit_code == 0, (words, result.output, result.exception)
        case _:
            raise AssertionError(f"{words}: the test does not know this command")


def test_the_report_says_what_the_page_says(done: Path) -> None:
    metrics = json.loads((done / "report" / "metrics.json").read_text())
    told = float(re.findall(r"The report says (0\.\d+)", TEXT)[0])
    assert metrics["auroc"] == pytest.approx(told, abs=0.005)
    baselines = [value for name, value in metrics["baselines"].items() if name != "flag_everything_f1"]
    assert len(baselines) == 3
    assert max(baselines) < 0.7
    assert list((done / "readings" / "maps").iterdir())


def test_the_bundle_says_which_code_it_was_fitted_with(done: Path) -> None:
    (code,) = Bundle.load(done / "bundle").provenance.code
    assert (code.place, code.distribution, code.version) == (
        "my_methods.eigenimages:Eigenimages", "my-methods", "0.1",
    )  # fmt: skip


def test_the_form_that_trains_by_gradient_is_fitted_and_read(done: Path) -> None:
    bundle = fit("learnt-subspace.yaml", "phantoms/manifest.csv", "learnt", **QUICKLY)
    (stage,) = bundle.provenance.training["stages"]
    losses = [epoch["losses"]["error"] for epoch in stage["epochs"]]
    assert losses[-1] < losses[0] / 2
    images = np.random.default_rng(0).random((2, 1, 64, 64), np.float32)
    assert list(Bundle.load("learnt").judge(images).scores) == list(bundle.judge(images).scores)


def test_the_encoder_serves_a_built_in_detector(done: Path) -> None:
    encoder = "detector.encoder={name: 'my_methods.filters:Filters', filters: 12}"
    recipe = Recipe.load("k-nn", set=["preprocessing.size=[64, 64]", encoder])
    bundle = fit(recipe, "phantoms/manifest.csv", "filters", **QUICKLY)
    assert bundle.detector.represent.encoder.channels == (12,)
    assert Bundle.load("filters").provenance.code[0].kind == "encoder"


def test_the_anomalies_lie_where_they_say(done: Path) -> None:
    outside.allow(["my_methods.rows:Rows"])
    make = build_anomalies({"name": "my_methods.rows:Rows", "share": 1.0}, "anomalies")
    images = torch.rand(5, 1, 16, 16, generator=torch.Generator().manual_seed(1))
    made = make(images, torch.Generator().manual_seed(2))
    assert made.changed.all()
    assert torch.equal(made.images[~made.mask], images[~made.mask])
    assert (made.mask.sum(dim=(1, 2, 3)) == 32).all()

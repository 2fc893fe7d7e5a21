import json
from pathlib import Path

import pytest
from test_commands import one_error, run

from secondread.cli.commands.machine.demo_steps import clear
from secondread.cohorts.manifest import Manifest

FAST = "preprocessing: {size: [64, 64]}\ndetector: {name: spectrum}\n"


def test_demo_goes_from_given_data_to_a_report(phantoms: Manifest, tmp_path: Path) -> None:
    (tmp_path / "fast.yaml").write_text(FAST)
    out = tmp_path / "demo"
    printed = run(
        "demo", "-o", out, "--data", phantoms.base / "manifest.csv", "--recipe", tmp_path / "fast.yaml",
        "--set", "cohorts.calibration=0.4", "--workers", 0,
    )  # fmt: skip
    assert printed.strip().splitlines()[-1] == str(out / "report" / "report.html")
    assert (out / "report" / "report.html").is_file(), printed
    metrics = json.loads((out / "report" / "metrics.json").read_text())
    assert metrics["n"]["failed"] == 0
    assert metrics["auroc"] is not None
    assert json.loads((out / "run.json").read_text())["finished"]


@pytest.mark.slow
def test_demo_goes_from_phantoms_to_a_report_and_takes_them_as_data(tmp_path: Path) -> None:
    recipe = tmp_path / "fast.yaml"
    recipe.write_text(FAST)
    out = tmp_path / "demo"
    printed = run("demo", "-o", out, "--recipe", recipe, "--workers", 1)
    assert printed.strip().splitlines()[-1] == str(out / "report" / "report.html")
    metrics = json.loads((out / "report" / "metrics.json").read_text())
    assert metrics["n"]["failed"] == 0
    assert metrics["auroc"] is not None
    assert json.loads((out / "run.json").read_text())["finished"]
    real = run(
        "demo", "-o", tmp_path / "real", "--data", out / "phantoms" / "manifest.csv", "--recipe", recipe,
        "--workers", 0, "-q",
    )  # fmt: skip
    assert (tmp_path / "real" / "report" / "report.html").is_file(), real


@pytest.mark.slow
def test_the_demonstration_finds_drawn_lesions_and_the_baselines_do_not(tmp_path: Path) -> None:
    out = tmp_path / "demo"
    shorter = ["--set", "stages.autoencoder.epochs=6", "--set", "stages.flow.epochs=10"]
    run("demo", "-o", out, "--workers", 0, "-q", *shorter)
    metrics = json.loads((out / "report" / "metrics.json").read_text())
    assert metrics["auroc"] > 0.85
    for baseline in ("mean_intensity", "pixel_1nn"):
        assert metrics["auroc"] - metrics["baselines"][baseline] > 0.1
    assert metrics["pixel"]["auroc"] > 0.9
    assert metrics["pixel"]["dice_oracle"] > 0.4


def test_demo_again_removes_what_it_made_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "bundle").mkdir()
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "run.json").write_text("{}")
    clear(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["notes.txt", "run.json"]


def test_demo_leaves_a_folder_with_other_things_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    assert "other things" in one_error(run("demo", "-o", tmp_path, code=2))
    assert (tmp_path / "thesis.txt").is_file()

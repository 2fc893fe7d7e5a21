"""Everything that goes wrong is one line and an exit code, never a traceback."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from test_commands import one_error, run

from secondread.bundles.bundle_document import FORMAT
from secondread.cohorts.manifest import Manifest

SLOW_RECIPE = """
preprocessing: {size: [32, 32]}
detector:
  name: aeflow
  encoder: {name: conv, width: 8, widest: 16, code: 8, stride: 8}
  flow: {blocks: 2, subnet: conv, hidden: 8}
  decoder: {hidden: [16]}
stages:
  autoencoder: {epochs: 100000, batch_size: 4}
  flow: {epochs: 1, batch_size: 16}
"""


def test_an_empty_manifest(copied: Path, tmp_path: Path) -> None:
    (tmp_path / "empty.csv").write_text("")
    (tmp_path / "header.csv").write_text("path,split,label\n")
    for name in ("empty.csv", "header.csv"):
        assert name in one_error(run("fit", "spectrum", tmp_path / name, "-o", tmp_path / "b", code=2))
        assert name in one_error(run("score", copied, tmp_path / name, "-o", tmp_path / "out", code=2))
    assert not (tmp_path / "b").exists()


def test_a_missing_manifest_recipe_bundle_or_input(copied: Path, phantoms: Manifest, tmp_path: Path) -> None:
    manifest = phantoms.base / "manifest.csv"
    assert "gone.csv" in one_error(
        run("fit", "spectrum", tmp_path / "gone.csv", "-o", tmp_path / "b", code=2)
    )
    assert "gone.yaml" in one_error(
        run("fit", tmp_path / "gone.yaml", manifest, "-o", tmp_path / "b", code=2)
    )
    assert "no bundle here" in one_error(
        run("score", tmp_path / "gone", manifest, "-o", tmp_path / "o", code=2)
    )
    assert "neither a bundle nor readings" in one_error(
        run("export", tmp_path / "gone", "-o", tmp_path / "o", code=2)
    )
    assert "gone.png" in one_error(run("score", copied, tmp_path / "gone.png", "-o", tmp_path / "o", code=2))
    assert "gone.csv" in one_error(
        run("evaluate", tmp_path / "gone.csv", manifest, "-o", tmp_path / "r", code=2)
    )


def test_a_setting_that_does_not_exist(phantoms: Manifest, tmp_path: Path) -> None:
    manifest = phantoms.base / "manifest.csv"
    said = one_error(
        run("fit", "spectrum", manifest, "-o", tmp_path / "b", "--set", "detector.bnds=3", code=2)
    )
    assert "bands" in said


def test_text_named_png_among_images_and_alone(copied: Path, phantoms: Manifest, tmp_path: Path) -> None:
    text = tmp_path / "text.png"
    text.write_text("words, not pixels")
    film = phantoms.reference(phantoms.rows[0])
    partial = run("score", copied, film, text, "-o", tmp_path / "some", "--workers", 1, code=1)
    assert "text.png: " in partial
    assert "text" in (tmp_path / "some" / "readings.csv").read_text()
    assert "none of 1" in one_error(
        run("score", copied, text, "-o", tmp_path / "none", "--workers", 1, code=3)
    )


def test_test_patients_in_train(phantoms: Manifest, tmp_path: Path) -> None:
    patient = next(row.patient_id for row in phantoms.rows if row.split == "train")
    normal = (row for row in phantoms.rows if row.label == "normal")
    rows = tuple(replace(row, patient_id=patient) if row.split == "test" else row for row in normal)
    shared = replace(phantoms, rows=rows).write(tmp_path / "shared.csv")
    command = (
        "fit",
        "mean-intensity",
        shared,
        "-o",
        tmp_path / "b",
        "--cache",
        tmp_path / "c",
        "--workers",
        0,
    )
    said = one_error(run(*command, code=2))
    assert patient in said
    assert "--allow-shared-patients" in said
    run(*command, "--allow-shared-patients", "--set", "preprocessing.size=[32, 32]")
    run("score", tmp_path / "b", shared, "-o", tmp_path / "out", "--where", "split=test", "--workers", 0)
    run("evaluate", tmp_path / "out" / "readings.csv", shared, "-o", tmp_path / "r", "--bootstrap", 20)
    assert patient in (tmp_path / "r" / "report.html").read_text()


def test_seen_images_are_not_evaluated(copied: Path, phantoms: Manifest, tmp_path: Path) -> None:
    rows = tuple(replace(row, split="", patient_id="") for row in phantoms.rows)
    whole = replace(phantoms, rows=rows).write(tmp_path / "whole.csv")
    run("score", copied, whole, "-o", tmp_path / "out", "--workers", 0)
    said = one_error(run("evaluate", tmp_path / "out" / "readings.csv", whole, "-o", tmp_path / "r", code=2))
    assert "seen by the bundle" in said


def test_a_damaged_bundle(copied: Path, phantoms: Manifest, tmp_path: Path) -> None:
    model = copied / "model.safetensors"
    model.write_bytes(model.read_bytes()[:-1] + b"\1")
    said = one_error(run("score", copied, phantoms.base / "manifest.csv", "-o", tmp_path / "out", code=3))
    assert "model.safetensors" in said
    assert "SHA-256" in said


def test_a_full_disk_while_scoring(copied: Path, phantoms: Manifest, tmp_path: Path) -> None:
    limit = "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
    limit += "resource.setrlimit(resource.RLIMIT_FSIZE, (12000, 12000)); "
    done = subprocess.run(
        [
            sys.executable, "-c", limit + "from secondread.cli.main import main; main()",
            "score", copied, phantoms.base / "manifest.csv", "-o", tmp_path / "out", "--workers", "0",
        ],
        capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}, timeout=100, check=False,
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert "no room left" in one_error(done.stderr)


def test_a_place_that_cannot_be_written(phantoms: Manifest, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    manifest = phantoms.base / "manifest.csv"
    command = ("fit", "mean-intensity", manifest, "-o", tmp_path / "file" / "b", "--cache", tmp_path / "c")
    one_error(run(*command, code=2))
    assert "cache" in one_error(run(*command[:3], "-o", tmp_path / "b", "--cache", tmp_path / "file", code=2))


def test_a_device_that_is_not_there(copied: Path, phantoms: Manifest, tmp_path: Path) -> None:
    manifest = phantoms.base / "manifest.csv"
    said = one_error(run("score", copied, manifest, "-o", tmp_path / "out", "--device", "gpu", code=2))
    assert "gpu" in said


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="signals differ")
def test_ctrl_c_in_a_fit_says_how_to_go_on_and_can(phantoms: Manifest, tmp_path: Path) -> None:
    recipe = tmp_path / "slow.yaml"
    recipe.write_text(SLOW_RECIPE)
    command = [
        sys.executable, "-c", "from secondread.cli.main import main; main()",
        "fit", recipe, phantoms.base / "manifest.csv", "-o", tmp_path / "b", "--cache", tmp_path / "cache",
        "--workers", "0", "--device", "cpu",
    ]  # fmt: skip
    for more in ([], ["--resume"]):
        process = subprocess.Popen(
            [*command, *more], stderr=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}
        )
        assert process.stderr is not None
        said = ""
        for line in process.stderr:
            said += line
            if "stage autoencoder" in line and process.poll() is None and "asked" not in said:
                said += "asked"
                time.sleep(0.05)
                process.send_signal(signal.SIGINT)
        process.stderr.close()
        assert process.wait(timeout=30) == 130, said
        assert "the same command goes on" in said.splitlines()[-1]
        assert "Traceback" not in said
        assert not (tmp_path / "b").exists()
        assert json.loads((tmp_path / "b.partial" / "fit.json").read_text())["seed"] == 0
    other = one_error(run(*command[3:], "-q", "--set", "detector.beta=0.4", code=2))
    assert "an unfinished fit with other settings lies there (detector.beta: " in other
    assert "add --force" in other


def test_maps_of_a_detector_that_has_none_are_one_line(
    copied: Path, phantoms: Manifest, tmp_path: Path
) -> None:
    film = phantoms.reference(phantoms.rows[0])
    said = run("score", copied, film, "-o", tmp_path / "out", "--maps", "--workers", 0)
    assert said.count("note: no maps are written: the detector ") == 1
    assert "no maps are written" in json.loads((tmp_path / "out" / "run.json").read_text())["notes"][0]
    assert not (tmp_path / "out" / "maps").exists()


def test_a_bundle_of_a_newer_version_is_told_so(copied: Path, phantoms: Manifest, tmp_path: Path) -> None:
    file = copied / "bundle.json"
    document = json.loads(file.read_text())
    newer = {"format": FORMAT + 1, "written_by": "99.0", "needs": "99.0"}
    file.write_text(json.dumps({**document, **newer}))
    said = one_error(run("score", copied, phantoms.base / "manifest.csv", "-o", tmp_path / "out", code=3))
    assert "made by secondread 99.0" in said
    assert "install secondread 99.0 or later" in said
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("place", ["loop", "x" * 300, "", "file/x"])
def test_a_place_where_nothing_can_lie_is_one_line(
    place: str, copied: Path, phantoms: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "file").write_text("")
    manifest = phantoms.base / "manifest.csv"
    for command in (
        ("split", manifest, "--again"),
        ("check", manifest, "--workers", 0),
        ("score", copied, manifest),
        ("calibrate", copied, manifest),
        ("evaluate", tmp_path / "readings.csv", manifest),
    ):
        said = one_error(run(*command, "-o", place, code=2))
        assert len(said) < 600


def test_a_demonstration_on_what_is_no_manifest_leaves_nothing(tmp_path: Path) -> None:
    said = one_error(run("demo", "--data", tmp_path, "-o", tmp_path / "out", code=2))
    assert "a folder, where a manifest was meant" in said
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("seed", ["-1", "99999999999999999999"])
def test_a_seed_that_cannot_be_is_wrong_use(seed: str, phantoms: Manifest, tmp_path: Path) -> None:
    manifest = phantoms.base / "manifest.csv"
    said = run("evaluate", "r.csv", manifest, "-o", tmp_path / "r", "--seed", seed, code=2)
    assert "--seed" in said

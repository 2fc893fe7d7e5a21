"""What would fail is said before anything runs, for all recipes at once; a plan is shown without doing it."""

import subprocess
import sys
import time
from pathlib import Path

import pytest
from test_commands import one_error, run

from secondread.cohorts.manifest import Manifest


@pytest.fixture
def unweighted(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("SECONDREAD_WEIGHTS", str(tmp_path / "weights"))


@pytest.mark.usefixtures("unweighted")
def test_of_three_recipes_the_two_that_cannot_run_are_both_told_and_torch_is_not_needed(
    phantoms: Manifest, tmp_path: Path
) -> None:
    script = (
        "import sys\nfrom secondread.cli.main import main\n"
        "try:\n    main()\nfinally:\n    print('torch' in sys.modules, file=sys.stderr)"
    )
    begun = time.process_time()
    done = subprocess.run(
        [
            sys.executable, "-c", script, "compare", phantoms.source, "-o", tmp_path / "out",
            "--recipes", "spectrum", "padim-paper", "ddad-aeu", "--device", "cpu",
        ],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    lines = done.stderr.splitlines()
    assert done.returncode == 2
    assert lines[-1] == "False"
    assert len(lines) == 3
    assert "padim-paper: encoder weights not found: expected resnet18.safetensors" in lines[0]
    assert "--download-weights" in lines[0]
    assert "ddad-aeu: detector ddad needs unlabelled images" in lines[1]
    assert "cohorts.anomaly_rate=0.3" in lines[1]
    assert not (tmp_path / "out").exists()
    assert time.process_time() - begun < 2


@pytest.mark.usefixtures("unweighted")
def test_a_fit_tells_all_that_is_wrong_at_once(phantoms: Manifest, tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "notes.txt").write_text("mine")
    said = run("fit", "padim-paper", phantoms.source, "-o", tmp_path / "taken", "--device", "gpu", code=2)
    wrong = [line for line in said.splitlines() if line.startswith("secondread: ")]
    assert len(wrong) == 3
    assert "did you mean cuda?" in wrong[0]
    assert "resnet18" in wrong[1]
    assert "a folder with other things in it" in wrong[2]


def test_a_dry_run_prints_what_would_be_done_and_does_nothing(phantoms: Manifest, tmp_path: Path) -> None:
    cache = ("--cache", tmp_path / "cache", "--dry-run")
    said = run("fit", "ae", phantoms.source, "-o", tmp_path / "b", *cache)
    assert "images: 22 normal, 2 validation, 6 calibration; prepared as 1×64×64" in said
    assert "stage reconstruction: " in said
    assert "nothing was done" in said
    said = run("compare", phantoms.source, "--recipes", "ae", "spectrum", "-o", tmp_path / "c", *cache)
    assert "12 runs, 0 of them finished: 4 methods, seeds 0, 1, 2; 12 test images" in said
    assert not (tmp_path / "b").exists()
    assert not (tmp_path / "c").exists()
    wrong = run("fit", "ae", phantoms.source, "-o", tmp_path / "b", *cache, "--set", "detector.l=1", code=2)
    assert "detector.l is not a setting" in one_error(wrong)

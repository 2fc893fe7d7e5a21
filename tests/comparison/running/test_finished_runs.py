"""Runs that are read back from a comparison's folder."""

import pytest

from secondread.cohorts.manifest import Manifest
from secondread.cohorts.row import Row
from secondread.comparison.judging.results import read_results
from secondread.comparison.running.plan import Plan, Run
from secondread.errors import UserError


@pytest.fixture
def folder(tmp_path):
    rows = tuple(
        Row(f"{split}-{label}.png", split, label)
        for split in ("train", "test")
        for label in ("normal", "abnormal")
    )
    Manifest(rows, tmp_path).write(tmp_path / "manifest.csv")
    manifest = Manifest.read(tmp_path / "manifest.csv")
    Plan.of(manifest, ["intensity"], seeds=[0]).begin(tmp_path / "out")
    return tmp_path / "out"


def test_a_folder_without_a_finished_run_is_said(folder):
    with pytest.raises(UserError, match="no run has finished; first: not run yet"):
        read_results(folder)


def test_a_finished_run_whose_files_are_gone_is_said_with_what_to_do(folder):
    place = folder / Run("intensity", 0).place
    place.mkdir(parents=True)
    (place / "result.json").write_text("{}")
    with pytest.raises(UserError, match=r"seed-0: metrics.json, .* is gone; remove .*seed-0, run again"):
        read_results(folder)

"""`secondread compare` as it is typed: what is not carried out is said, never passed over."""

from pathlib import Path

import pytest
from test_commands import one_error, run

from secondread.cohorts.manifest import Manifest
from secondread.comparison.running.plan import Plan


@pytest.fixture
def begun(phantoms: Manifest, tmp_path: Path) -> tuple[Path, Path]:
    """A manifest, and the folder of a comparison on it without a finished run."""
    Plan.of(phantoms, ["intensity"], seeds=[0]).begin(tmp_path / "out")
    return Path(phantoms.source), tmp_path / "out"


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--set", "detector.erosion=0"], "--set detector.erosion=0: holds for recipes that are named"),
        (["--reference", "padim"], "--reference padim: not among"),
        (["--where", "label=normal"], "needs normal and abnormal test rows"),
        (["--published", "kermany"], "no published numbers on 'kermany'; there are some on"),
        (["--contamination", "much"], "--contamination much: give shares"),
        (["--seeds", "2"], "no run has finished; first: not run yet"),
    ],
)
def test_what_is_typed_without_recipes_is_not_passed_over(begun, more: list[str], said: str) -> None:
    manifest, out = begun
    printed = run("compare", manifest, "-o", out, "--tabulate", *more, code=2)
    assert said in one_error(printed)


def test_another_manifest_than_the_folders_is_refused(begun, tmp_path: Path) -> None:
    manifest, out = begun
    other = Manifest.read(manifest).where("label=normal|abnormal", "split=test").write(tmp_path / "other.csv")
    assert "is not the manifest of the comparison" in one_error(run("compare", other, "-o", out, code=2))
    assert "no such manifest" in one_error(run("compare", tmp_path / "gone.csv", "-o", out, code=2))


def test_a_table_of_nothing_makes_no_folder(begun, tmp_path: Path) -> None:
    manifest, _ = begun
    printed = run("compare", manifest, "--recipes", "intensity", "-o", tmp_path / "o", "--tabulate", code=2)
    assert "holds no comparison" in one_error(printed)
    assert not (tmp_path / "o").exists()

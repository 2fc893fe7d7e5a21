"""`secondread reproduce` as it is typed."""

from pathlib import Path

from test_commands import one_error, run

from secondread.cohorts.manifest import Manifest


def test_a_dry_run_of_a_paper_says_what_it_would_do_and_does_nothing(
    phantoms: Manifest, tmp_path: Path
) -> None:
    command = ("reproduce", "f-anogan", phantoms.source, "-o", tmp_path / "out", "--dry-run")
    said = run(*command, "--reduced", "--cache", tmp_path / "cache", "--device", "cpu")
    assert "reduced: networks of an eighth of the paper's width" in said
    assert "6 runs, 0 of them finished" in said
    assert not (tmp_path / "out").exists()


def test_what_cannot_be_run_is_told(phantoms: Manifest, tmp_path: Path) -> None:
    out = ("-o", tmp_path / "out")
    assert "no paper is called 'x'; there are ae-flow" in one_error(
        run("reproduce", "x", phantoms.source, *out, code=2)
    )
    told = run("reproduce", "shibata-bct", phantoms.source, *out, "--set", "seed=x", code=2)
    assert "seed is 'x'" in one_error(told)
    assert not (tmp_path / "out").exists()

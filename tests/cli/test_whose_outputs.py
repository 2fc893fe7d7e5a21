"""Commands refuse, in one line, to write over what they read or into another command's folder."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from test_commands import a_site, one_error, run

from secondread.bundles.bundle import Bundle
from secondread.cohorts.manifest import Manifest
from secondread.readings.score_into import score_into


@pytest.fixture(scope="module")
def readings(fitted: Bundle, phantoms: Manifest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("whose") / "readings"
    score_into(fitted, phantoms.base / "manifest.csv", out, where=["split=test"], workers=0)
    return out


def test_no_command_writes_into_a_folder_of_readings(readings: Path, phantoms: Manifest) -> None:
    manifest, record = phantoms.base / "manifest.csv", (readings / "run.json").read_bytes()
    for command in (
        ("evaluate", readings / "readings.csv", manifest, "-o", readings),
        ("anomalies", manifest, "-o", readings, "--cache", readings.parent / "cache"),
        ("compare", manifest, "--recipes", "spectrum", "-o", readings),
        ("demo", "-o", readings),
    ):
        assert "is the output of `score`" in one_error(run(*command, code=2)), command
    for command in (
        ("index", phantoms.base / "test", "-o", readings / "new.csv"),
        ("split", manifest, "-o", readings / "readings.csv"),
        ("check", manifest, "-o", readings / "findings.csv", "--workers", 0),
    ):
        assert "is the output of `score`" in one_error(run(*command, code=2)), command
    assert (readings / "run.json").read_bytes() == record


def test_a_report_is_written_again_in_its_own_folder(
    fitted: Bundle, phantoms: Manifest, tmp_path: Path
) -> None:
    manifest, readings = phantoms.base / "manifest.csv", tmp_path / "readings"
    # of normals alone a report has one figure, not eight
    score_into(fitted, manifest, readings, where=["split=test", "label=normal"], workers=0)
    command = ("evaluate", readings, manifest, "-o", tmp_path / "report")
    for _ in range(2):
        run(*command, "--bootstrap", 20, "-q")
    record = json.loads((tmp_path / "report" / "run.json").read_text())
    assert (record["made_by"], record["finished"]) == ("evaluate", True)
    assert not [path for path in (tmp_path / "report").rglob("*") if path.name.startswith(".")]
    assert [path for path in (tmp_path / "report").rglob("*") if path.stat().st_mode & 0o077] == []


def test_no_command_writes_over_its_manifest(phantoms: Manifest, tmp_path: Path) -> None:
    manifest = shutil.copy(phantoms.base / "manifest.csv", phantoms.base / "copy.csv")
    try:
        before = Path(manifest).read_bytes()
        for command in (("check", manifest, "--workers", 0), ("split", manifest, "--again")):
            assert "is read by this command" in one_error(run(*command, "-o", manifest, code=2))
        assert Path(manifest).read_bytes() == before
    finally:
        os.unlink(manifest)


def test_index_replaces_a_manifest_and_no_other_file(phantoms: Manifest, tmp_path: Path) -> None:
    film, key = tmp_path / "films" / "a.png", tmp_path / "site.key"
    film.parent.mkdir()
    shutil.copy(phantoms.reference(phantoms.rows[0]), film)
    key.write_text("0123456789abcdef0123456789abcdef")
    key.chmod(0o600)
    for output in (film, key):
        said = one_error(run("index", film.parent, "-o", output, "--workers", 0, code=2))
        assert "is no manifest" in said
    said = one_error(run("index", film.parent, "--key", key, "-o", key, "--workers", 0, code=2))
    assert "is read by this command" in said
    (tmp_path / ".m.csv.17-0a1b2c3d.writing").write_text("path,lab")
    for _ in range(2):
        run("index", film.parent, "-o", tmp_path / "m.csv", "--workers", 0)
    assert sorted(os.listdir(tmp_path)) == ["films", "m.csv", "m.csv.run.json", "site.key"]
    assert (tmp_path / "m.csv").stat().st_mode & 0o077 == 0


def test_calibrate_goes_on_where_it_had_finished_but_for_its_last_word(copied: Path, tmp_path: Path) -> None:
    site = a_site(tmp_path)
    command = ("calibrate", copied, site, "-o", tmp_path / "c", "--cache", tmp_path / "cache", "--workers", 0)
    run(*command, "-q")
    before = (tmp_path / "c" / "bundle.json").read_bytes()
    (tmp_path / "c.run.json").unlink()
    run(*command, "-q")
    assert (tmp_path / "c" / "bundle.json").read_bytes() == before
    assert (tmp_path / "c.run.json").is_file()
    assert "already" in one_error(run(*command, "--false-alarm-rate", 0.2, code=2))
    shutil.copy(tmp_path / "1.png", tmp_path / "0.png")
    assert "already" in one_error(run(*command, code=2))


def test_a_fit_that_was_killed_beside_its_whole_bundle_leaves_nothing(
    phantoms: Manifest, tmp_path: Path
) -> None:
    recipe = tmp_path / "small.yaml"
    recipe.write_text(
        "preprocessing: {size: [32, 32]}\ndetector: {name: spectrum, bands: 8}\n"
        "cohorts: {validation: 0.2, calibration: 0.3}\n"
    )
    command = (
        "fit", recipe, phantoms.base / "manifest.csv", "-o", tmp_path / "b", "--cache", tmp_path / "cache",
        "--workers", 0, "-q",
    )  # fmt: skip
    run(*command)
    identity = {
        "recipe": "another", "manifest": phantoms.digest, "seed": 0, "allow_shared_patients": False,
    }  # fmt: skip
    (tmp_path / "b.partial" / "detector").mkdir(parents=True)
    (tmp_path / "b.partial" / "fit.json").write_text(json.dumps(identity))
    run(*command, "--resume")
    assert (tmp_path / "b.partial").exists()
    from secondread.fitting.identity import digest_of

    document = json.loads((tmp_path / "b" / "bundle.json").read_text())
    identity["recipe"] = digest_of(document["recipe"])
    (tmp_path / "b.partial" / "fit.json").write_text(json.dumps(identity))
    (tmp_path / ".b.17.writing").mkdir()
    run(*command, "--resume")
    assert not (tmp_path / "b.partial").exists()
    assert not (tmp_path / ".b.17.writing").exists()
    assert (tmp_path / "b").stat().st_mode & 0o777 == 0o700
    assert [path for path in (tmp_path / "cache").rglob("*") if path.stat().st_mode & 0o077] == []

"""A recipe fitted at one site and judged at another, whose films are brighter."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from page_rules import faults
from PIL import Image
from typer.testing import CliRunner

from secondread.cli.application import app
from secondread.cohorts.manifest import Manifest
from secondread.cohorts.phantoms.make import make_phantoms

RECIPE = """
preprocessing: {size: [32, 32]}
detector: {name: mean-intensity}
cohorts: {validation: 0.15, calibration: 0.5}
"""


@pytest.fixture(scope="module")
def films(tmp_path_factory) -> Path:
    """Every second patient is of site B, where films came out brighter."""
    folder = tmp_path_factory.mktemp("sites")
    made = Manifest.read(make_phantoms(folder, seed=0, size=(32, 32), n_normal=150, n_abnormal=20))
    rows, site_of = [], {}
    for row in made.rows:
        site = site_of.setdefault(row.patient_id, "AB"[len(site_of) % 2])
        rows.append(replace(row, extra={"site": site}))
        if site == "B":
            path = Path(made.reference(row))
            with Image.open(path) as film:
                values = np.asarray(film, np.float64)
            top = 255 if values.max() < 256 else 65535
            Image.fromarray(
                np.minimum(values * 1.25 + 0.04 * top, top).astype(
                    np.asarray(values, np.uint16 if top > 255 else np.uint8).dtype
                )
            ).save(path)
    (folder / "recipe.yaml").write_text(RECIPE)
    return replace(made, rows=tuple(rows)).write(folder / "sites.csv")


def run(*words: object, code: int = 0) -> str:
    result = CliRunner().invoke(app, ["transfer", *map(str, words)])
    assert result.exit_code == code, result.output
    return result.output


def test_the_shift_between_two_sites_is_measured_and_mended(films: Path, tmp_path: Path) -> None:
    command = (
        films.parent / "recipe.yaml", films, "--train", "site=A", "--test", "site=B", "-o", tmp_path / "out",
        "--set", "calibration.false_alarm_rate=0.1", "--bootstrap", 60, "--workers", 0,
        "--cache", tmp_path / "cache", "--device", "cpu",
    )  # fmt: skip
    said = run(*command)
    assert "are not exchangeable with the calibration normals" in said
    found = json.loads((tmp_path / "out" / "transfer.json").read_text())
    home, away, mended = found["home"], found["away"], found["recalibrated"]
    assert away["false_alarm_rate"]["value"] > 0.5 > home["false_alarm_rate"]["value"]
    assert mended["false_alarm_rate"]["value"] < 0.5
    assert away["exchangeability"]["p_value"] < 0.001 < home["exchangeability"]["p_value"]
    assert away["exchangeability"]["normals_score_higher"] > 0.8
    assert mended["auroc"] == away["auroc"]  # the same images and scores
    assert mended["calibration_patients"] + mended["n"]["normal"] > away["n"]["normal"]
    difference = found["auroc_difference"]
    assert difference["value"] == pytest.approx(away["auroc"]["value"] - home["auroc"]["value"])
    assert difference["interval"][0] < difference["value"] < difference["interval"][1]
    page = (tmp_path / "out" / "report.html").read_text()
    assert "site=A" in page
    assert "Exchangeability" in page
    assert faults(page) == []

    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out" / "bundle").iterdir()}
    run(*command, "-q")  # the same again goes on, and fits nothing
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out" / "bundle").iterdir()} == before
    assert json.loads((tmp_path / "out" / "transfer.json").read_text()) == found
    said = run(*command, "--seed", 1, code=2)
    assert "begun with another seed" in said


def test_what_cannot_be_transferred_is_said_before_anything_is_written(films: Path, tmp_path: Path) -> None:
    recipe, out = films.parent / "recipe.yaml", tmp_path / "out"
    for conditions, expected in (
        (("--train", "site=A", "--test", "site=C"), "no row meets site=C"),
        (("--train", "site=A", "--test", "site=A|B"), "of site=A too"),
        (("--train", "city=A", "--test", "site=B"), "no column 'city'"),
    ):
        said = run(recipe, films, *conditions, "-o", out, code=2)
        assert expected in said
        assert len(said.strip().splitlines()) == 1
        assert not out.exists()

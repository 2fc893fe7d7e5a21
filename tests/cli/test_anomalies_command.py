import io
import json
import re
from base64 import b64decode
from pathlib import Path

import numpy as np
import pytest
from page_rules import faults
from PIL import Image as Picture
from typer.testing import CliRunner

from secondread.anomalies import ANOMALIES
from secondread.cli.main import app
from secondread.cohorts.manifest import Manifest
from secondread.cohorts.phantoms.make import make_phantoms

QUICK = ("cutpaste", "draem", "mixture")
"""The others differ from these in what is drawn alone, which `tests/anomalies` asks of each."""


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECONDREAD_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def small(tmp_path: Path) -> Path:
    file = tmp_path / "small.yaml"
    file.write_text("preprocessing: {size: [32, 32]}\ndetector: {name: spectrum}\n")
    return file


def run(*arguments: object, code: int = 0) -> str:
    result = CliRunner().invoke(app, ["anomalies", *map(str, arguments), "--workers", "0"])
    assert result.exit_code == code, (result.output, result.exception)
    return result.output


def pictures(page: str) -> list[np.ndarray]:
    found = re.findall(r'src="data:image/png;base64,([^"]+)"', page)
    return [np.asarray(Picture.open(io.BytesIO(b64decode(data)))) for data in found]


def test_without_a_kind_the_page_shows_what_the_recipes_detector_learns_from_within_its_foreground(
    phantoms: Manifest, tmp_path: Path
) -> None:
    recipe, out = tmp_path / "own.yaml", tmp_path / "out"
    recipe.write_text(
        "preprocessing: {size: [32, 32]}\n"
        "detector: {name: anomaly-unet, depth: 2, foreground: 0.3, "
        "anomalies: {name: blobs, contrast: [3, 3], radius: [0.3, 0.3], core: 1}}\n"
    )
    run(phantoms.source, "-n", 4, "--recipe", recipe, "-o", out)
    record = json.loads((out / "run.json").read_text(encoding="utf-8"))
    assert record["anomalies"]["name"] == "blobs"
    assert record["anomalies"]["contrast"] == [3, 3]
    shown = pictures((out / "report.html").read_text(encoding="utf-8"))
    for before, after in zip(shown[::3], shown[1::3], strict=True):
        assert (before != after).any()
        assert (before == after)[before < 0.3 * 255 - 1].all()


@pytest.mark.parametrize(
    "kind",
    [pytest.param(kind, marks=[] if kind in QUICK else [pytest.mark.slow]) for kind in sorted(ANOMALIES)],
)
def test_the_page_holds_each_image_before_and_after_and_its_target(
    kind: str, phantoms: Manifest, small: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    said = run(phantoms.source, "--kind", kind, "-n", 4, "--recipe", small, "--seed", 5, "-o", out)
    assert said.splitlines()[-1] == str(out / "report.html")
    page = (out / "report.html").read_text(encoding="utf-8")
    assert not re.search(r'(src|href)="(?!data:|#)', page)
    for words in (
        "not a medical device",
        "images beneath are real",
        "seed 5",
        "in training it is a share of 0.5",
    ):
        assert words in page
    shown = pictures(page)
    assert len(shown) == 3 * 4
    for before, after, target in zip(*(shown[start::3] for start in range(3)), strict=True):
        assert before.shape == after.shape == (32, 32)
        marked = target.astype(int).sum(axis=-1) > 8
        assert (before != after)[marked].any()
        assert kind != "fpi" or not (before != after)[~marked].any()
    with Picture.open(out / "anomalies.png") as sheet:
        assert min(sheet.size) > 100
    record = json.loads((out / "run.json").read_text())
    assert record["anomalies"]["name"] == kind
    assert (record["seed"], record["digests"]["manifest"]) == (5, phantoms.digest)
    learnt = {row.path for row in phantoms.rows if row.split == "train" and row.label == "normal"}
    assert len(record["images"]) == 4
    assert set(record["images"]) <= learnt


def test_the_same_seed_shows_the_same_and_another_seed_something_else(
    phantoms: Manifest, small: Path, tmp_path: Path
) -> None:
    def shown(seed: int) -> list[bytes]:
        run(phantoms.source, "-n", 3, "--recipe", small, "--seed", seed, "-q", "-o", tmp_path / "out")
        page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
        return [picture.tobytes() for picture in pictures(page)]

    assert shown(0) == shown(0)
    assert shown(0) != shown(1)


def test_volumes_are_shown_in_three_planes_that_meet_the_target(tmp_path: Path) -> None:
    heads = make_phantoms(tmp_path / "heads", seed=0, rank=3, n_normal=12, n_abnormal=1, size=(16, 20, 24))
    recipe = tmp_path / "volumes.yaml"
    recipe.write_text("preprocessing: {size: [16, 20, 24]}\ndetector: {name: spectrum}\n")
    said = run(heads, "-n", 2, "--recipe", recipe, "--set", "target=alpha", "-o", tmp_path / "out")
    assert "note: --set target=alpha is taken as --anomaly target=alpha; --set is for the recipe" in said
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert faults(page) == []
    shown = pictures(page)
    assert [picture.shape[:2] for picture in shown[:3]] == [(20, 24), (16, 24), (16, 20)]
    assert len(shown) == 2 * 3 * 3
    for start in (6, 15):
        assert all((plane.astype(int).sum(axis=-1) > 8).any() for plane in shown[start : start + 3])
    assert re.search(r"slice \d+, row \d+, column \d+", page)


def test_fewer_normals_than_asked_for_and_files_that_cannot_be_read_are_told(
    small: Path, tmp_path: Path
) -> None:
    films = Manifest.read(make_phantoms(tmp_path / "films", seed=0, n_normal=9, n_abnormal=1, size=(48, 48)))
    for row in films.rows:
        if row.split == "train":
            (films.base / row.path).write_text("words")
            break
    said = run(films.source, "-n", 50, "--recipe", small, "-o", tmp_path / "out", code=1)
    assert "of 50 images are there to show" in said
    assert "not read: " in said
    assert re.search(r"\n1 of \d+ training normals that were drawn cannot be read; `check` lists all", said)
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert faults(page) == []
    assert "of 50 asked for" in page
    assert "Not read:" in page


def test_what_is_wrong_is_one_line(phantoms: Manifest, small: Path, tmp_path: Path) -> None:
    always = (phantoms.source, "--recipe", small, "-o", tmp_path / "out", "-q")
    said = run(*always, "--kind", "blob", code=2)
    assert "--kind is 'blob'; did you mean blobs? kinds of anomalies are " in said
    assert len(said.splitlines()) == 1
    said = run(*always, "--anomaly", "alhpa=[0, 1]", code=2)
    assert "anomalies fpi: alhpa is not a setting; did you mean alpha?" in said
    said = run(*always, "--anomaly", "alpha=[0.9, 0.1]", code=2)
    assert "anomalies fpi: alpha is [0.9, 0.1]: the first number should not be above the second" in said
    assert "the batch holds one" in run(*always, "-n", 1, code=2)
    assert not (tmp_path / "out").exists()

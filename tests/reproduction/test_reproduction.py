"""A paper's tables run, and written beside what was published."""

import csv
from functools import partial
from pathlib import Path

import pytest

from secondread.cohorts.manifest import Manifest
from secondread.comparison.compare import How
from secondread.comparison.running.here import run_here
from secondread.comparison.running.task_display import showing
from secondread.reproduction.reproduce import Reproduction
from secondread.reproduction.writing import write_reproduction

OWN = """
title: Bands of a spectrum
source: A paper that was made for this test
about: How many normal images a spectrum needs.
datasets: [rsna]
reduced: two numbers of images
tables:
  - key: curve
    title: AUROC by the number of normal images
    protocol: drawn by seed
    metrics: [auroc, f1]
    rows:
      - name: eight
        recipe: spectrum
        settings: [detector.bands=8, "preprocessing.size=[32,32]"]
        published: [{value: 0.75, where: Table 1}, {system: AE-U}]
    curve: {setting: cohorts.max_normal, values: [5, 10, 400], axis: normal images}
"""


@pytest.fixture(scope="module")
def paper(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("paper") / "bands.yaml"
    path.write_text(OWN)
    return path


def test_tables_run_and_are_written_beside_what_was_published_and_go_on(
    paper: Path, phantoms: Manifest, tmp_path: Path
) -> None:
    how = How(device="cpu", cache=tmp_path / "cache", bootstrap=20, workers=0)
    made = Reproduction.of(str(paper), phantoms.source, how=how, dataset="rsna")
    assert made.left_out == (
        "AUROC by the number of normal images: eight-at-400 left out: the manifest gives 22 normal images of "
        "400",
    )
    out, show = tmp_path / "out", partial(run_here, show=showing(False))
    found = made.run(out, show, how)
    page = write_reproduction(made, found, out, command=["secondread", "reproduce", "/data/films.csv"])
    rows = list(csv.DictReader((out / "figures.csv").read_text().splitlines()))
    auroc = next(row for row in rows if row["published"] == "0.75")
    assert auroc["where"] == "Table 1"
    assert 0 <= float(auroc["measured"]) <= 1
    assert auroc["at"] == "10.0"
    assert {row["published"] for row in rows if row["metric"] == "auroc"} == {"0.75", "0.867", ""}
    assert [row["at"] for row in rows if row["metric"] == "f1"] == ["5.0", "10.0"]
    text = (out / "reproduction.md").read_text()
    assert "| eight-at-5 | AUROC | " in text
    assert "| Difference |" in text
    assert "eight-at-400 left out" in text
    assert "Table 1" in page.read_text()
    assert "secondread reproduce films.csv" in page.read_text()
    assert (out / "figures" / "curve.png").is_file()
    results = sorted(out.glob("*/runs/*/*/result.json"))
    times = [file.stat().st_mtime_ns for file in results]
    again = Reproduction.of(str(paper), phantoms.source, how=how)
    again.run(out, show, how)
    assert [file.stat().st_mtime_ns for file in results] == times

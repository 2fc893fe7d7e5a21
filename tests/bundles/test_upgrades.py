"""Bundles of earlier formats: stored as the version of then wrote them, and read as they were meant."""

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from changed_bundles import edit

from secondread.bundles.bundle import Bundle
from secondread.bundles.bundle_document import FORMAT
from secondread.bundles.facts import Facts
from secondread.bundles.handing_over import handed_over
from secondread.bundles.read_document import read_document
from secondread.bundles.upgrades import STEPS, upgraded
from secondread.errors import DataError

STORED = Path(__file__).parent / "stored"
"""`format-1.zip`: the preset intensity with alignment, complexity and the normals' mean map, calibrated
again, which secondread 0.1.0 fitted on drawn films; `format-1.json`: what it said then of the two images
below."""
ROWS, COLUMNS = np.ogrid[:48, :48]
IMAGES = (
    (40 + 2 * ROWS + (COLUMNS * 7) % 60 + 90 * ((ROWS - 20) ** 2 + (COLUMNS - 30) ** 2 < 60)).astype(
        np.uint8
    ),
    (90 + ROWS % 3 + 0 * COLUMNS).astype(np.uint8),
)


@pytest.fixture
def of_format_1(tmp_path) -> Path:
    """The stored bundle as a folder."""
    with zipfile.ZipFile(STORED / "format-1.zip") as archive:
        archive.extractall(tmp_path)
    return tmp_path / "format-1"


def test_there_is_a_step_from_every_format_to_the_next():
    assert len(STEPS) == FORMAT - 1


def test_a_bundle_of_format_1_gives_the_readings_that_it_gave_then(of_format_1):
    then = json.loads((STORED / "format-1.json").read_text())
    bundle = Bundle.load(STORED / "format-1.zip")
    assert bundle.digest == Bundle.load(of_format_1).digest == then["digest"]
    found = bundle.judge_images(IMAGES, maps=True)
    tolerance = bundle.calibration.images.tolerance
    assert found.scores == pytest.approx(then["scores"], abs=tolerance)
    assert found.p_values.tolist() == then["p_values"]
    assert found.flags.tolist() == then["flags"]
    for name, values in {**found.parts, **found.baselines}.items():
        assert values == pytest.approx({**then["parts"], **then["baselines"]}[name], rel=1e-4)
    assert found.maps.sum((1, 2)) == pytest.approx(then["map_sums"], rel=1e-4)
    assert found.maps[:, 4, 4] == pytest.approx(then["map_corner"], rel=1e-4)


def test_what_format_1_holds_of_patients_is_told(of_format_1):
    facts = Facts.read(of_format_1)
    assert facts.document.written_by == "0.1.0"
    assert [(kept.kind, kept.rows) for kept in facts.keeps] == [("mean", 1), ("mean", 1), ("thumbnails", 14)]


def test_saved_again_it_is_of_this_format_and_scores_the_same(of_format_1, tmp_path):
    old = Bundle.load(of_format_1)
    new = Bundle.load(old.save(tmp_path / "new").path)
    assert read_document(tmp_path / "new")[0].format == FORMAT
    assert Facts.read(tmp_path / "new").keeps == Facts.read(of_format_1).keeps
    assert new.judge_images(IMAGES).scores.tolist() == old.judge_images(IMAGES).scores.tolist()


def test_handed_over_as_it_is_it_stays_of_its_format_and_with_more_it_is_of_this(of_format_1):
    with handed_over(of_format_1) as (folder, facts):
        assert (folder / "bundle.json").read_bytes() == (of_format_1 / "bundle.json").read_bytes()
    with handed_over(of_format_1, licence="cc-by-4.0") as (folder, copy):
        assert json.loads((folder / "bundle.json").read_text())["format"] == FORMAT
        assert copy.document.made_from == (facts.digest,)


@pytest.mark.parametrize("name", ["written_by", "needs", "statements", "left_out", "keeps", "made_from"])
def test_names_of_a_later_format_are_refused_in_an_earlier_one(of_format_1, name):
    edit(of_format_1, lambda document: document.update({name: []}))
    with pytest.raises(DataError, match=rf"bundle\.json: has '{name}', which format 1 had not"):
        Bundle.load(of_format_1)


@pytest.mark.parametrize(
    "document",
    [
        {"format": 1},
        {"format": 1, "provenance": [], "recipe": 3, "files": "x"},
        {"format": 1, "provenance": {"versions": {"secondread": {"a": 1}}}, "recipe": {"detector": []}},
        {"format": 1, "files": {"model.safetensors": {"tensors": [1]}}},
        {"format": 1, "files": {"model.safetensors": {"tensors": {"bank": 1, "a.bank": {"shape": ["x"]}}}}},
        {"format": 1, "files": {"model.safetensors": {"tensors": {"bank": {"shape": [-1]}}}}},
        {"format": True}, {"format": 1.0}, {"format": 0}, {"format": -1}, {"format": 10**30}, {}, [], None, 1,
        "x",
    ],
    ids=str,
)  # fmt: skip
def test_whatever_a_document_holds_the_steps_leave_it_for_the_schema_to_refuse(of_format_1, document):
    upgraded(document)
    (of_format_1 / "bundle.json").write_text(json.dumps(document))
    with pytest.raises(DataError, match=r"^[^\n]{1,600}$"):
        Bundle.load(of_format_1)


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (
            {"format": 7, "written_by": "99.1", "needs": "98.0"},
            "it was made by secondread 99.1, and this is .*; install secondread 98.0 or later to read it",
        ),
        ({"format": 7, "written_by": "99.1", "needs": ["x"]}, "install secondread 99.1 or later to read it"),
        ({"format": 7}, "it was made by a newer version of secondread"),
        ({"format": 10**30, "written_by": "\x1b[31m"}, "it was made by a newer version of secondread"),
    ],
)
def test_a_later_format_is_refused_with_the_version_that_reads_it(of_format_1, said, told):
    (of_format_1 / "bundle.json").write_text(json.dumps(said))
    with pytest.raises(DataError, match=told):
        Bundle.load(of_format_1)

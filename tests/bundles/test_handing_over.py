"""A copy with its owner's words, or with less of its patients: the same scores, and what is gone is told."""

import json
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from secondread.bundles.bundle import Bundle
from secondread.bundles.facts import Facts
from secondread.bundles.handing_over import handed_over
from secondread.cli.application import app
from secondread.errors import DataError, UserError
from secondread.evaluation.evaluate import evaluate
from secondread.fitting.fit import fit
from secondread.readings.score import score
from secondread.recipes.recipe import Recipe
from secondread.reports.report import write_report


def run(*words: object, code: int = 0) -> str:
    result = CliRunner().invoke(app, list(map(str, words)))
    assert result.exit_code == code, result.output
    return result.output


def metrics_of(digest: str) -> dict:
    return {
        "auroc": 0.9, "auroc_interval": [0.8, 0.95], "n": {"normal": 20, "abnormal": 10},
        "protocol": {"bundle_digest": digest},
    }  # fmt: skip


@pytest.fixture(scope="module")
def bare(fitted: Bundle, tmp_path_factory):
    """An archive with words and figures, without thumbnails and digests."""
    folder = tmp_path_factory.mktemp("bare")
    (folder / "metrics.json").write_text(json.dumps(metrics_of(fitted.digest)))
    said = run(
        "bundle", "pack", fitted.path, "-o", folder / "bare.zip", "--licence", "cc-by-4.0",
        "--data", "Drawn films.", "--metrics", folder / "metrics.json", "--without-thumbnails",
        "--without-seen",
    )  # fmt: skip
    assert "still holds" not in said
    return folder / "bare.zip"


def test_without_thumbnails_and_digests_scores_stay_and_a_baseline_goes(fitted, bare, phantoms, tmp_path):
    thin = Bundle.load(bare)
    assert thin.companions.names == ("mean-intensity", "spectrum")
    assert set(thin.left_out) == {"thumbnails", "seen"}
    assert not thin.seen.images
    assert not thin.seen.patients
    readings = score(thin, phantoms, tmp_path / "readings", where=["split=test"], workers=0)
    whole = score(fitted, phantoms, where=["split=test"], workers=0)
    assert [row.score for row in readings.rows] == [row.score for row in whole.rows]
    assert [row.p_value for row in readings.rows] == [row.p_value for row in whole.rows]
    assert set(readings.rows[0].baselines) == set(whole.rows[0].baselines) - {"pixel_1nn"}

    page = write_report(
        evaluate(readings, phantoms, where=["label=normal"], workers=0), tmp_path / "report", workers=0
    )
    metrics = json.loads((tmp_path / "report" / "metrics.json").read_text())
    assert "seen_unknown" in {warning["kind"] for warning in metrics["warnings"]}
    for expected in ("What it holds of patients", "Drawn films.", "cc-by-4.0", "was left out of the bundle"):
        assert expected in page.read_text()


def test_the_copy_says_what_it_is_what_is_gone_and_how_it_did(fitted, bare):
    shown = run("bundle", "show", bare)
    for expected in (
        "cc-by-4.0", "Drawn films.", "AUROC 0.900 (0.800–0.950)", fitted.digest[:12], "not a medical device",
        "the baseline pixel-1nn with its thumbnails of normals", "Too few calibration normals",
    ):  # fmt: skip
        assert expected in shown
    assert "seen.json" not in shown
    told = json.loads(run("bundle", "show", bare, "--json"))
    assert (told["left_out"], told["made_from"]) == (["thumbnails", "seen"], [fitted.digest])
    assert told["holds"] == {"images": [], "digests_of_images": 0, "hashes_of_patients": 0}
    whole = json.loads(run("bundle", "show", fitted.path, "--json"))
    assert whole["holds"]["images"][0]["kind"] == "thumbnails"
    assert whole["holds"]["hashes_of_patients"] > 0
    assert whole["calibration"]["words"] == told["calibration"]["words"]


def test_the_card_lies_beside_the_files_and_nothing_reads_it(fitted, copied, bare, tmp_path):
    card = (copied / "README.md").read_text()
    for expected in ("not a medical device", "thumbnails of training normals", "seen.json"):
        assert expected in card
    (copied / "README.md").write_bytes(b"\xff" * 10_000)
    assert Bundle.load(copied).digest == fitted.digest
    run("bundle", "unpack", bare, "-o", tmp_path / "out", "-q")
    for expected in ('license: "cc-by-4.0"', "Drawn films.", "| AUROC | 0.900 | 0.800–0.950 |", "Left out"):
        assert expected in (tmp_path / "out" / "README.md").read_text()


def test_figures_go_from_copy_to_copy_and_those_of_another_bundle_do_not(fitted, bare, tmp_path):
    run("bundle", "unpack", bare, "-o", tmp_path / "out", "-q")
    with handed_over(tmp_path / "out", metrics=metrics_of(fitted.digest), data="Films.") as (_, facts):
        assert facts.document.statements.licence == "cc-by-4.0"
        assert len(facts.document.made_from) == 2
    for wrong in (metrics_of("ff" * 32), {**metrics_of(fitted.digest), "n": 3}):
        with pytest.raises(UserError, match="the metrics are"), handed_over(fitted.path, metrics=wrong):
            pass
    with pytest.raises(UserError, match="too long"), handed_over(fitted.path, licence="x" * 500):
        pass


def test_calibrated_again_it_keeps_its_words_and_says_that_copies_are_not_noticed(bare, phantoms, tmp_path):
    said = run("calibrate", bare, phantoms.source, "-o", tmp_path / "again", "--workers", "0")
    assert "cannot be told whether the model learned from" in said
    facts = Facts.read(tmp_path / "again")
    assert facts.document.statements.licence == "cc-by-4.0"
    assert facts.document.figures is None
    assert facts.document.left_out == ("thumbnails", "seen")
    assert facts.document.made_from == ()


def test_a_model_of_thumbnails_is_not_handed_over_without_them(phantoms, tmp_path):
    settings = ["preprocessing.size=[16, 16]", "detector.of=pixels", "detector.encoder.weights=random"]
    recipe = Recipe.load("k-nn", set=settings)
    bundle = fit(recipe, phantoms, tmp_path / "bundle", workers=0, device="cpu", progress=False)
    kept = Facts.read(bundle.path).keeps
    assert {(one.file, one.kind) for one in kept} == {
        ("model.safetensors", "thumbnails"), ("companions.safetensors", "thumbnails"),
    }  # fmt: skip
    with (
        pytest.raises(UserError, match="its own model is made of thumbnails of"),
        handed_over(bundle.path, without=["thumbnails"]),
    ):
        pass


def test_a_damaged_file_is_named_by_the_bundle_and_not_by_a_temporary_folder(copied, tmp_path):
    (copied / "model.safetensors").write_bytes(b"x")
    said = run("bundle", "pack", copied, "-o", tmp_path / "b.zip", "--licence", "x", code=3)
    assert f"{copied}/model.safetensors: is not the file" in " ".join(said.split())
    assert not (tmp_path / "b.zip").exists()
    (copied / "seen.json").write_bytes(b"{}")
    with pytest.raises(DataError, match=str(copied)), handed_over(copied, without=["seen"]):
        pass


def test_show_needs_no_torch(fitted):
    code = (
        "import sys, time; from secondread.cli.application import app; "
        f"app(['bundle', 'show', {str(fitted.path)!r}], standalone_mode=False); "
        "assert 'torch' not in sys.modules; assert time.process_time() < 2, time.process_time()"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)

"""Papers as their files say them: what they name is there, and their tables can be planned."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from secondread.cohorts.manifest import Manifest
from secondread.errors import UserError
from secondread.fitting.checks.first_look import Look
from secondread.recipes.build import build_detector
from secondread.recipes.recipe import Recipe, presets
from secondread.reproduction.paper import papers, published_value
from secondread.reproduction.planned_tables import planned_tables, two_findings
from secondread.reproduction.reproduce import Reproduction

PRESETS = {preset.name for preset in presets()}


@pytest.fixture(scope="module")
def labelled(phantoms: Manifest, tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    """Films whose abnormal ones are in the training rows too, with two findings."""
    return with_findings(phantoms, tmp_path_factory.mktemp("labelled"))


def with_findings(phantoms: Manifest, folder: Path) -> Manifest:
    abnormal = [row for row in phantoms.rows if row.label == "abnormal"]
    normal = [row for row in phantoms.rows if row.label == "normal"]
    findings = ("opacity", "nodule")
    rows = [
        replace(
            row,
            split="test" if place < 2 else "train",
            finding=findings[place % 2],
            patient_id=f"case-{place}",
            study_id="",
        )
        for place, row in enumerate(abnormal)
    ]
    whole = replace(phantoms, rows=(*normal, *rows))
    return Manifest.read(whole.with_absolute_paths().write(folder / "manifest.csv"))


@pytest.mark.parametrize("name", sorted(papers()))
def test_every_row_has_a_preset_valid_settings_and_figures_that_stand_somewhere(name: str) -> None:
    paper = papers()[name]
    for table in paper.tables:
        assert set(table.reduced.recipes) | set(table.reduced.rows) <= {row.name for row in table.rows}
        for row in table.rows:
            assert {row.recipe, table.reduced.recipes.get(row.name, row.recipe)} <= PRESETS
            for figure in row.published:
                found = [published_value(figure, dataset) for dataset in paper.datasets]
                assert any(value is not None for value in found), (row.name, figure)


@pytest.mark.parametrize(
    ("name", "reduced"),
    [("ddad", True), ("ddad", False), ("f-anogan", True), ("shibata-cxr", True), ("shibata-cxr", False)],
)
def test_detectors_of_both_sizes_can_be_built(name: str, reduced: bool, labelled: Manifest) -> None:
    settings = ["cohorts.unlabelled=4", "cohorts.anomaly_rate=0.25"]
    if name == "shibata-cxr":
        settings.append("detector.flow.depth=1")
    planned = planned_tables(papers()[name], labelled, Look(), reduced=reduced, settings=settings)
    for table in planned:
        for row in table.rows:
            build(row.recipe)


def build(recipe: Recipe) -> None:
    import torch

    with torch.device("meta"):
        build_detector(recipe, pretrained=False)


def test_what_the_data_do_not_allow_is_told_in_a_line_and_the_rest_is_planned(phantoms: Manifest) -> None:
    planned = planned_tables(papers()["ddad"], phantoms, Look(), reduced=True)
    methods, rates, findings = planned
    assert [row.name for row in methods.rows] == ["AE", "MemAE", "AE-U", "R_intra-AE", "R_intra-AE-U"]
    (line,) = methods.left_out
    assert "R_dual-AE, R_dual-MemAE, R_dual-AE-U left out: " in line
    assert not rates.rows
    assert "needs two findings" in findings.left_out[0]
    with pytest.raises(UserError, match=r"two-Glows-at-50, .* left out: .* anomaly rate 0\.5"):
        planned_tables(papers()["glow-unlabelled-curve"], phantoms, Look(), reduced=True)


def test_a_curve_of_shares_wants_a_number_and_other_tables_do_not(labelled: Manifest) -> None:
    methods, rates, _ = planned_tables(papers()["ddad"], labelled, Look(), reduced=False)
    assert methods.rows
    assert not rates.rows
    assert "give their number with --set cohorts.unlabelled=N" in rates.left_out[0]
    settings = ["cohorts.unlabelled=1", "cohorts.max_normal=4"]
    _, rates, _ = planned_tables(papers()["ddad"], labelled, Look(), reduced=False, settings=settings)
    assert "R_dual-AE-U-at-1" in [row.name for row in rates.rows]


def test_a_curve_has_no_point_of_more_images_than_there_are(labelled: Manifest) -> None:
    settings = ["cohorts.unlabelled=4", "cohorts.anomaly_rate=0.25"]
    normal, _ = planned_tables(
        papers()["glow-unlabelled-curve"], labelled, Look(), reduced=False, settings=settings
    )
    assert [row.name for row in normal.rows] == ["two-Glows-at-all"]
    assert "normal images of 250" in normal.left_out[0]


def test_rows_of_seen_and_unseen_findings_are_made_for_the_two_of_the_training_rows(
    labelled: Manifest,
) -> None:
    assert two_findings(labelled) == ("nodule", "opacity")
    settings = ["cohorts.unlabelled=3"]
    planned = planned_tables(papers()["ddad"], labelled, Look(), reduced=True, settings=settings)[2]
    seen = planned.rows[-1]
    assert seen.name == "one-finding-seen"
    assert seen.recipe.cohorts.unlabelled_findings == ("nodule",)
    assert seen.recipe.stages["mixture"].epochs == 20


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"dataset": "kermany-cxr"}, "'kermany-cxr' is no data set of ddad"),
        ({"settings": ["AE-X:seed=1"]}, "no row is called AE-X; there are AE, "),
    ],
)
def test_wrong_words_are_told(more: dict[str, Sequence[str]], said: str, labelled: Manifest) -> None:
    with pytest.raises(UserError, match=said):
        Reproduction.of("ddad", labelled, reduced=True, **more)
    with pytest.raises(UserError, match="no paper is called 'dad'; there are ae-flow, ddad, "):
        Reproduction.of("dad", labelled)

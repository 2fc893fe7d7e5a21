import csv
import io
import math
import re
from dataclasses import replace

import numpy as np
import pytest
from made_table import STRENGTHS, made_table, make_results, published_rows

from secondread.comparison.judging.table import Table, make_table
from secondread.comparison.running.plan import Run
from secondread.comparison.writing.cells import Cell
from secondread.comparison.writing.check_sections import missed
from secondread.comparison.writing.csv_tables import pairs_csv, published_csv, results_csv, table_csv
from secondread.comparison.writing.latex import table_tex
from secondread.comparison.writing.markdown import table_md
from secondread.comparison.writing.published_sections import published_sections
from secondread.comparison.writing.sections import cost, main, not_worse, pair_tests, pixels, sections
from secondread.metrics.roc import auroc
from secondread.wording.durations import in_words


@pytest.fixture(scope="module")
def table() -> Table:
    return made_table(contamination=(0.05, 0.2), pixels=True)


def read(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def grids(markdown: str) -> dict[str, list[list[str]]]:
    """The cells of each table by the heading above it."""
    found: dict[str, list[list[str]]] = {}
    heading = ""
    for line in markdown.splitlines():
        if line.startswith("#"):
            heading = line.lstrip("# ")
        elif line.startswith("| ") and not line.startswith("| :--"):
            found.setdefault(heading, []).append(re.split(r" (?<!\\)\| ", line[2:-2]))
    return found


def test_each_run_has_a_row_with_its_unrounded_figures(table):
    rows = read(results_csv(table.results))
    assert len(rows) == len(table.results.runs) == 6 * 3 + 3 * 3 * 2
    for row, run in zip(rows, table.results.runs, strict=True):
        assert (row["method"], int(row["seed"])) == (run.run.method, run.run.seed)
        assert float(row["contamination"]) == run.run.contamination
        assert float(row["auroc"]) == auroc(table.results.images.abnormal, run.scores)
        assert float(row["train_seconds"]) == run.cost.train_seconds
        assert row["gpu_memory_bytes"] == ""
    assert {row["cohort_normal"] for row in rows} == {"100"}


def test_figures_by_method_are_those_of_the_table(table):
    for row, method in zip(read(table_csv(table)), table.rows, strict=True):
        assert row["method"] == method.name
        assert float(row["auroc_mean"]) == method.auroc.mean
        assert float(row["auroc_sd"]) == method.auroc.deviation
        assert (float(row["auroc_low"]), float(row["auroc_high"])) == method.auroc_interval
        assert float(row["sensitivity_at_0.95_mean"]) == method.sensitivity_at[0.95].mean
        assert float(row["false_alarm_rate_mean"]) == method.false_alarm_rate.mean
        assert float(row["rank_mean"]) == method.rank
        assert row["trivial"] == str(method.trivial).lower()
        assert (row["pixel_pro_mean"] == "") == method.trivial


def test_every_pair_has_a_row(table):
    rows = read(pairs_csv(table))
    assert len(rows) == 6 * 5 // 2
    for row, pair in zip(rows, table.pairs, strict=True):
        assert (row["family"], row["first"], row["second"]) == (pair.family, pair.first, pair.second)
        assert (float(row["p"]), float(row["p_holm"])) == (pair.p_value, pair.p_holm)
        assert float(row["p_delong"]) == pair.delong


def test_a_cell_says_value_deviation_and_interval():
    assert Cell("0.861", "0.012", "0.830–0.889").text == "0.861 ± 0.012 (0.830–0.889)"
    assert Cell("0.861", interval="0.830–0.889").text == "0.861 (0.830–0.889)"
    assert Cell("0.861").text == "0.861"


def test_markdown_shows_the_tables_numbers(table):
    found = grids(table_md(table))
    for line, row in zip(found["Methods"][1:], table.rows, strict=True):
        area, (low, high) = row.auroc, row.auroc_interval
        assert line[0].split(" (")[0] == row.name
        assert line[1] == str(len(row.seeds))
        assert line[2].replace("*", "") == f"{area.mean:.3f} ± {area.deviation:.3f} ({low:.3f}–{high:.3f})"
        low, high = row.average_precision_interval
        assert line[3] == (
            f"{row.average_precision.mean:.3f} ± {row.average_precision.deviation:.3f} ({low:.3f}–{high:.3f})"
        )
        assert low < row.average_precision.mean < high
        for cell, found_at in zip(line[4:7], row.sensitivity_at.values(), strict=True):
            assert cell == f"{100 * found_at.mean:.1f} ± {100 * found_at.deviation:.1f}"
        assert line[7] == "10.0"
        assert line[8].startswith(f"{100 * row.false_alarm_rate.mean:.1f} ± ")
        assert line[9].startswith(f"{100 * row.sensitivity.mean:.1f} ± ")
        low, high = row.sensitivity_interval
        assert line[9].endswith(f"({100 * low:.1f}–{100 * high:.1f})")
        assert line[10] == f"{row.rank:.1f} ({row.rank_range[0]:g}–{row.rank_range[1]:g})"
    against = [pair for pair in table.pairs if pair.family == "reference"]
    for line, pair in zip(found["Tests against the reference"][1:], against, strict=True):
        assert line[2].startswith(f"{pair.difference:+.3f} (".replace("-", "−"))
        assert line[4] == ("< 0.001" if pair.p_holm < 0.001 else f"{pair.p_holm:.3f}")
    for line, one in zip(found["Contaminated normals"][1:], table.contaminated, strict=True):
        assert line[2:] == [f"{a.mean:.3f} ± {a.deviation:.3f}" for a in one.auroc]


def test_the_reference_and_the_trivial_baselines_are_marked(table):
    text = table_md(table)
    assert "| padim (reference) |" in text
    assert "| pixel-1nn (trivial) |" in text
    assert "| aeu |" in text


def test_one_seed_has_no_deviation_and_says_so():
    text = table_md(made_table(seeds=(3,)))
    assert "One seed, so no standard deviation." in text
    assert "patients resampled" in text
    assert "±" not in text


def test_a_method_with_fewer_seeds_than_others_has_no_deviation():
    missing = {Run("aeu", seed): "not run yet" for seed in (1, 2)}
    text = table_md(made_table(missing=missing))
    assert re.search(r"\| aeu \| 1 \| \**0\.\d{3}\** \(", text)
    assert "(one seed has none)" in text
    assert "Fewer seeds than the 3 asked for: aeu" in text


def test_bold_are_the_best_and_those_not_significantly_below_it():
    table = made_table(strengths={"good": 1.6, "as-good": 1.6, "bad": 0.1}, normal=150, abnormal=100)
    best = not_worse(table)
    assert {"good", "as-good"} <= best
    assert "bad" not in best
    bold = re.findall(r"^\| ([\w-]+)[^|]*\| 3 \| \*\*", table_md(table), flags=re.MULTILINE)
    assert set(bold) == best
    assert table_tex(table).count(r"\textbf{") == len(best)


def test_nothing_below_chance_is_bold_though_it_be_the_best():
    table = made_table(strengths={"wrong": -3.0, "worse": -3.5}, seeds=(0,))
    kept = [row for row in table.rows if not row.trivial]
    assert max(row.auroc.mean for row in kept) < 0.3
    names = {row.name for row in kept}
    pairs = tuple(pair for pair in table.pairs if {pair.first, pair.second} <= names)
    below = replace(table, rows=tuple(kept), pairs=pairs)
    assert not_worse(below) == frozenset()
    text = table_md(below)
    assert "**" not in text
    assert r"\textbf" not in table_tex(below)


def test_a_tie_that_no_test_can_break_is_not_bold_unless_the_figures_are_equal():
    table = made_table(strengths={"good": 4.0, "fair": 2.5}, normal=40, abnormal=8, seeds=(0,))
    assert all(math.isnan(pair.p_value) for pair in table.pairs if pair.difference)
    assert table.rows[0].auroc.mean > table.rows[1].auroc.mean
    assert not_worse(table) == {table.rows[0].name}
    equal = replace(table, rows=(table.rows[0], replace(table.rows[0], name="also"), *table.rows[1:]))
    assert not_worse(equal) == {table.rows[0].name, "also"}


def test_without_a_calibrated_threshold_there_are_dashes_and_no_promise():
    table = made_table(calibrated=False)
    for line in main(table).lines:
        assert [cell.text for cell in line.cells[7:10]] == ["–", "–", "–"]
    assert {row["false_alarm_rate_promised"] for row in read(table_csv(table))} == {""}
    results = table.results
    told = [replace(run, metrics={**run.metrics, "false_alarm_rate_promised": 0.05}) for run in results.runs]
    again = make_table(replace(results, runs=tuple(told)), bootstrap=60)  # as an earlier version wrote it
    assert {row.promised for row in again.rows} == {None}


def test_pixels_have_a_table_only_where_there_are_figures(table):
    assert pixels(made_table()) is None
    section = pixels(table)
    assert section.heads == ("Method", "AUROC", "AP", "PRO", "Dice, oracle threshold")
    assert [line.cells[1].text for line in section.lines if line.kind == "trivial"] == ["–"] * 3


def test_delong_is_left_out_where_patients_have_several_images():
    several = made_table(per_patient=2)
    assert all("p, DeLong" not in section.heads for section in pair_tests(several))
    assert "no DeLong test" in table_md(several)
    assert {row["p_delong"] for row in read(pairs_csv(several))} == {""}


def test_one_method_alone_has_a_table_without_tests():
    results = make_results()
    plan_names = [run.method for run in results.plan.runs()]
    missing = {run: "failed" for run in results.plan.runs() if run.method != plan_names[0]}
    alone = made_table(missing=missing)
    assert len(alone.rows) == 1
    assert pair_tests(alone) == []
    assert "Tests" not in table_md(alone)
    assert read(pairs_csv(alone)) == []


def test_missed_images_name_the_method_that_is_least_wrong(table):
    for line, one in zip(missed(table).lines, table.missed, strict=True):
        path, label, _, name, rank = (cell.text for cell in line.cells)
        values = one.ranks.values()
        assert (path, label) == (one.path, "abnormal" if one.abnormal else "normal")
        assert one.ranks[name] == (max if one.abnormal else min)(values)
        assert rank == f"{one.ranks[name]:.2f}"


def test_published_numbers_of_two_protocols_share_no_table():
    first, second = published_sections(published_rows())
    assert first.heads == ("System", "AUROC", "F1")
    assert [line.cells[0].text for line in first.lines] == ["AE_1"]
    assert [[cell.text for cell in line.cells] for line in second.lines] == [
        ["[x]|y", "0.912 ± 0.004"],
        ["plain", "0.871"],
    ]
    assert "Note on [x]|y: no code." in second.lead
    assert "800 normal train" in first.lead


def test_published_numbers_stand_apart_in_markdown(table):
    text = table_md(table, published_rows())
    measured, published = text.split("## Published numbers, under other protocols")
    assert "AE_1" not in measured
    assert "0.6543" in published
    assert "padim |" not in published
    assert "Published" not in table_md(table)
    assert len(read(published_csv(published_rows()))) == 4


def test_markdown_tables_keep_their_shape(table):
    for rows in grids(table_md(table, published_rows())).values():
        assert len({len(row) for row in rows}) == 1


def test_markdown_tells_how_it_was_made(table):
    text = table_md(table, command=("secondread", "compare", "two words.csv"))
    assert "- Command: secondread compare 'two words.csv'" in text
    assert f"- Manifest digest: {table.results.plan.manifest.digest}" in text
    assert "- Seeds: 0, 1, 2" in text
    assert "- Versions of the fits: secondread 0.1.0, torch 2.13" in text
    assert "Resampling: 60 times, patients and seeds together, seed 0" in text
    seconds = sum(run.cost.train_seconds for run in table.results.runs)
    assert f"training {in_words(seconds)}, scoring" in text
    assert "Research use, not a medical device." in text


def test_latex_is_balanced_and_has_as_many_cells_as_columns(table):
    text = table_tex(table, published_rows())
    opened = re.findall(r"\\begin\{(\w+)\}", text)
    assert sorted(opened) == sorted(re.findall(r"\\end\{(\w+)\}", text))
    unescaped = re.sub(r"\\[{}]", "", text)
    assert unescaped.count("{") == unescaped.count("}")
    assert len(re.findall(r"(?<!\\)\$", text)) % 2 == 0
    bodies = re.findall(
        r"\\begin\{(?:tabular|longtable)\}\{([lr]+)\}(.*?)\\bottomrule", text, flags=re.DOTALL
    )
    assert len(bodies) == len(re.findall(r"\\toprule", text))
    for columns, body in bodies:
        rows = [line for line in body.splitlines() if " & " in line]
        assert {len(re.findall(r"(?<!\\)&", row)) + 1 for row in rows} == {len(columns)}


def test_latex_escapes_what_it_would_read_as_its_own(table):
    text = table_tex(table, published_rows())
    assert r"AE\_1" in text
    assert r"A \& B 2020" in text
    assert r"5 \% kept" in text
    assert "{[}x]|y" in text
    assert text.isascii()


def test_latex_shows_the_tables_numbers(table):
    text = table_tex(table)
    for row in table.rows:
        low, high = row.auroc_interval
        assert rf" $\pm$ {row.auroc.deviation:.3f} ({low:.3f}--{high:.3f}) & " in text
        assert f"{row.auroc.mean:.3f}" in text


def test_gpu_memory_has_a_column_where_it_was_measured(table):
    heads = {section.name: section.heads for section in sections(table)}
    assert "Peak GPU memory, MiB" not in heads["cost"]
    runs = tuple(replace(run, cost=replace(run.cost, gpu_memory_bytes=3 << 30)) for run in table.results.runs)
    measured = cost(replace(table, results=replace(table.results, runs=runs)))
    column = measured.heads.index("Peak GPU memory, MiB")
    assert {line.cells[column].value for line in measured.lines} == {"3,072"}


def test_an_unknown_agreement_does_not_stop_the_writing():
    table = made_table(strengths=STRENGTHS)
    table.agreement[0, 1] = table.agreement[1, 0] = np.nan
    assert "## Methods" in table_md(table)


def test_the_shortcut_check_stands_beside_the_figures():
    text = table_md(made_table())
    section = text[text.index("## Shortcuts") :]
    assert "AUROC 0.612 (0.500–0.700). A supervised 16×16 thumbnail reaches 0.700" in section
    assert "| padim (reference) | 3 |" in section


def test_notes_stand_in_latex_as_comments():
    missing = {Run("aeu", 2): "100 % of_disk"}
    text = table_tex(made_table(missing=missing))
    assert "% Note: Not in the table: aeu, seed 2: 100 \\% of\\_disk\n" in text


def test_patients_are_counted_only_where_the_manifest_names_them():
    results = make_results()
    assert "40 abnormal, the same for all methods; 100 patients" in table_md(made_table())
    cases = tuple(replace(case, patient="") for case in results.images.cases)
    unknown = make_table(replace(results, images=replace(results.images, cases=cases)), bootstrap=60)
    assert "patients unknown" in table_md(unknown)

"""The written comparison: CSV, Markdown, LaTeX, figures as files, and a page that needs nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from secondread.comparison.judging.provenance import how_made
from secondread.comparison.judging.table import Missed, Table
from secondread.comparison.writing.check_sections import contamination, missed, shortcuts
from secondread.comparison.writing.csv_tables import pairs_csv, published_csv, results_csv, table_csv
from secondread.comparison.writing.latex import table_tex
from secondread.comparison.writing.markdown import table_md
from secondread.comparison.writing.published import PublishedRow
from secondread.comparison.writing.published_sections import LEAD, TITLE, published_sections
from secondread.comparison.writing.sections import cost, main, pair_tests, pixels
from secondread.evaluation.packed_cases import Case
from secondread.images.workers.cores import available_cores
from secondread.outputs.private import make_folder
from secondread.outputs.whole import write_whole
from secondread.reports.comparison_figures import draw_comparison, shown_curves
from secondread.reports.pictures import Drawn, Wanted, draw_pictures
from secondread.reports.templates import write_report_page


@dataclass(frozen=True)
class MissedTile:
    """One of the hardest images, with its picture.

    ranks  by method, in the table's order
    """

    case: Case
    drawn: Drawn
    ranks: tuple[tuple[str, float], ...]

    @property
    def best(self) -> tuple[str, float]:
        """The method that is least wrong here, and its rank."""
        choose = max if self.case.abnormal else min
        return choose(self.ranks, key=lambda found: found[1])


def write_comparison(
    table: Table,
    out: str | Path,
    *,
    published: Sequence[PublishedRow] = (),
    command: Sequence[str] = (),
    workers: int | None = None,
) -> Path:
    """Write `results.csv`, `table.csv`, `pairs.csv`, `table.md`, `table.tex`, `report.html` and `figures/`
    into the folder `out`, and `published.csv` where there are such numbers; return the page's path.

    command  what the person typed, for the record
    workers  processes that read pictures; None = as many as there are cores, 0 = this one
    """
    folder = Path(out)
    make_folder(folder)
    written = {
        "results.csv": results_csv(table.results),
        "table.csv": table_csv(table),
        "pairs.csv": pairs_csv(table),
        "table.md": table_md(table, published, command),
        "table.tex": table_tex(table, published),
    }
    if published:
        written["published.csv"] = published_csv(published)
    for name, text in written.items():
        write_whole(folder / name, text.encode())
    images = table.results.images
    tiles = missed_tiles(table, workers=min(available_cores(), 8) if workers is None else workers)
    return write_report_page(
        folder,
        "comparison.html",
        table=table,
        best=table.rows[0],
        reference=next((row for row in table.rows if row.reference), None),
        trivial=next((row for row in table.rows if row.trivial), None),
        abnormal=int(images.abnormal.sum()),
        normal=int((~images.abnormal).sum()),
        patients=images.known_patients,
        data=Path(table.results.plan.manifest.source).resolve().parent.name,
        figures=draw_comparison(table, folder / "figures"),
        left_out=len(table.rows) - len(shown_curves(table)),
        main=main(table),
        pixels=pixels(table),
        cost=cost(table),
        tests=pair_tests(table),
        shortcuts=shortcuts(table),
        contamination=contamination(table),
        missed=missed(table),
        tiles=tiles,
        published=published_sections(published),
        published_title=TITLE,
        published_lead=LEAD,
        rows=how_made(table, command),
        files=sorted(written),
    )


def missed_tiles(table: Table, *, workers: int) -> list[MissedTile]:
    """The hardest images for all methods, each read once, in the table's order."""
    cases = {case.path: case for case in table.results.images.cases}
    drawn = draw_pictures([Wanted(cases[one.path].reference) for one in table.missed], workers=workers)
    return [
        _tile(table, one, cases[one.path], picture) for one, picture in zip(table.missed, drawn, strict=True)
    ]


def _tile(table: Table, one: Missed, case: Case, picture: Drawn) -> MissedTile:
    return MissedTile(case, picture, tuple((row.name, one.ranks[row.name]) for row in table.rows))

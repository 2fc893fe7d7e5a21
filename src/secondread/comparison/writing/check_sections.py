"""What stands beside the figures: shortcuts, contaminated normals, the hardest images."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from secondread.comparison.judging.rows import Spread
from secondread.comparison.judging.table import MISSED, Table
from secondread.comparison.writing.cells import Cell, Line, Section, named, spread
from secondread.wording.numbers import NOTHING, number, span


def shortcuts(table: Table) -> Section | None:
    """The shortcut check of the runs; None where they have none."""
    first = next(run for run in table.results.runs if not run.run.contamination)
    found = first.metrics["shortcut"]
    followed = [row for row in table.rows if row.shortcut is not None]
    if found.get("acquisition") is None and not followed:
        return None
    lines = [
        Line((Cell(named(row.name, table)), Cell(str(len(row.seeds))), spread(row.shortcut)))
        for row in sorted(followed, key=lambda row: -abs(row.shortcut.mean) if row.shortcut else 0.0)
    ]
    return Section(
        "shortcuts",
        "Shortcuts",
        "How well acquisition alone (size, file, header fields, border strip) tells normal from abnormal on "
        f"these images, cross-validated by patient: AUROC {_area(found, 'acquisition')}. A supervised 16×16 "
        f"thumbnail reaches {_area(found, 'thumbnail_ceiling')}. A method whose score follows acquisition "
        "among normals may have found that and not the disease: rank correlation of its score with what "
        "acquisition predicts of it.",
        ("Method", "Seeds", "Score follows acquisition"),
        tuple(lines),
    )


def contamination(table: Table) -> Section | None:
    """None where nothing was planted."""
    if not table.contaminated:
        return None
    shares = sorted({share for found in table.contaminated for share in found.shares})
    lines = []
    for found in sorted(table.contaminated, key=lambda found: -found.auroc[0].mean):
        areas: Mapping[float, Spread] = dict(zip(found.shares, found.auroc, strict=True))
        seeds = Cell(str(len(found.auroc[0].values)))
        lines.append(
            Line((Cell(named(found.name, table)), seeds, *(spread(areas.get(share)) for share in shares)))
        )
    return Section(
        "contamination",
        "Contaminated normals",
        "AUROC where a share of the training normals is abnormal in truth, over the seeds that have all "
        "shares. The test is clean.",
        ("Method", "Seeds", *(f"{100 * share:g} %" for share in shares)),
        tuple(lines),
    )


def missed(table: Table) -> Section | None:
    """The hardest images for all methods together; None where there are none."""
    lines = []
    for found in table.missed:
        choose = max if found.abnormal else min
        name, rank = choose(found.ranks.items(), key=lambda item: item[1])
        label = "abnormal" if found.abnormal else "normal"
        words = (found.path, label, "; ".join(found.findings) or NOTHING, name)
        lines.append(Line((*map(Cell, words), Cell(number(rank, 2)))))
    if not lines:
        return None
    lead = (
        "The abnormal images whose highest rank by any method is lowest, and the normal ones whose lowest "
        f"rank is highest; {MISSED} of each at most, worst first, hard as far as their ranks say so. Rank "
        "among all test images: 0 the least, 1 the most abnormal."
    )
    return Section(
        "missed", "Hardest images for all methods", lead,
        ("Image", "Label", "Findings", "Best method there", "Its rank"), tuple(lines), left=4,
    )  # fmt: skip


def _area(found: Mapping[str, Any], name: str) -> str:
    value, interval = found.get(name), found.get(f"{name}_interval")
    if not isinstance(value, float):
        return "not known"
    reach = f" ({span((interval[0], interval[1]))})" if isinstance(interval, list) else ""
    return f"{number(value)}{reach}"

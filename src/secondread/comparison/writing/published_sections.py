"""Published numbers as sections of their own, one for each protocol, so that no column mixes two."""

from __future__ import annotations

from collections.abc import Sequence

from secondread.comparison.writing.cells import Cell, Line, Section
from secondread.comparison.writing.published import METRICS, PublishedRow
from secondread.wording.numbers import NOTHING

TITLE = "Published numbers, under other protocols"
LEAD = (
    "Read from papers, not measured here: other splits, sizes and ways of choosing epoch and threshold. "
    "Each table holds under its own protocol alone and cannot be ranked with another or with measured rows."
)
NAMES = {
    "auroc": "AUROC",
    "average_precision": "AP",
    "f1": "F1",
    "pixel_auroc": "Pixel AUROC",
    "pixel_average_precision": "Pixel AP",
    "pro": "PRO",
    "dice": "Dice",
}


def published_sections(rows: Sequence[PublishedRow]) -> list[Section]:
    """In the order of the rows; the systems of a protocol in theirs."""
    groups: dict[tuple[str, ...], list[PublishedRow]] = {}
    for row in rows:
        groups.setdefault((row.dataset, row.protocol, row.source, row.read), []).append(row)
    return [_section(place, own) for place, own in enumerate(groups.values(), 1)]


def _section(place: int, rows: Sequence[PublishedRow]) -> Section:
    first = rows[0]
    metrics = [metric for metric in METRICS if any(row.metric == metric for row in rows)]
    systems: dict[str, dict[str, Cell]] = {}
    for row in rows:
        spread = "" if row.spread is None else figure(row.spread)
        systems.setdefault(row.system, {})[row.metric] = Cell(figure(row.value), spread)
    said = [f"Protocol: {first.protocol}", f"Read in: {first.read}", *_notes(rows)]
    return Section(
        f"published-{place}",
        f"{first.dataset}: {first.source}",
        " ".join(f"{text.rstrip('.')}." for text in said),
        ("System", *(NAMES.get(metric, metric.capitalize()) for metric in metrics)),
        tuple(
            Line((Cell(system), *(found.get(metric, Cell(NOTHING)) for metric in metrics)))
            for system, found in systems.items()
        ),
    )


def _notes(rows: Sequence[PublishedRow]) -> list[str]:
    """Each note once, with whom it is about unless that is all of them."""
    about: dict[str, dict[str, None]] = {}
    for row in rows:
        if row.note:
            about.setdefault(row.note, {})[row.system] = None
    everyone = {row.system for row in rows}
    return [
        f"Note: {note}" if set(systems) == everyone else f"Note on {', '.join(systems)}: {note}"
        for note, systems in about.items()
    ]


def figure(value: float) -> str:
    """Three decimals, or four where the fourth was given."""
    return f"{value:.4f}".removesuffix("0")

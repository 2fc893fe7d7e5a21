"""Colours of the figures and heat maps.

In the page, ink follows the reader's light or dark setting; in figure files it is dark.
"""

from __future__ import annotations

NORMAL = "#3a7ca5"
ABNORMAL = "#c8553d"
METHOD = "#4a6fa5"
BASELINE = "#8b8f98"
ORACLE = "#b08a2e"

INK = "#1e2329"
FAINT = "#9aa0a8"
PAGE_COLOURS = {INK: "var(--ink)", FAINT: "var(--faint)"}
"""What a drawn colour becomes in the page."""

FINDINGS = (
    ("#0072b2", "-"),
    ("#d55e00", "-"),
    ("#009e73", "-"),
    ("#cc79a7", "-"),
    ("#56b4e9", "--"),
    (INK, "--"),
    ("#e69f00", "--"),
    (BASELINE, "--"),
)
"""Colour and line of each finding's curve: Okabe and Ito's colours, which stay apart for colour-blind eyes,
with grey in the place of their yellow, which is too pale on white."""

HEAT = ((0, 0, 4), (66, 10, 104), (147, 38, 103), (221, 81, 58), (252, 165, 10), (252, 255, 164))
"""Dark to light in perceived even steps (the stops of matplotlib's `inferno`), for values 0, 0.2 … 1."""

"""Colours of the figures and heat maps.

In the page, ink follows the reader's light or dark setting; in figure files it is dark.
"""

from __future__ import annotations

NORMAL = "#3a7ca5"
ABNORMAL = "#c8553d"
METHOD = "#4a6fa5"
BASELINE = "#7d828c"
ORACLE = "#8a6914"

INK = "#1e2329"
SOFT = "#5b626b"
FAINT = "#858b94"
PAGE_COLOURS = {INK: "var(--ink)", SOFT: "var(--soft)", FAINT: "var(--faint)", ORACLE: "var(--oracle)"}
"""What a drawn colour becomes in the page."""

FINDINGS = (
    ("#0072b2", "-"),
    ("#d55e00", "-"),
    ("#009e73", "-"),
    ("#c46f9f", "-"),
    ("#3d97cf", "--"),
    (INK, "--"),
    ("#c08500", "--"),
    (BASELINE, "--"),
)
"""Colour and line of each finding's curve: Okabe and Ito's colours, which stay apart for colour-blind eyes,
the pale ones darker, so that each stands out from white (WCAG's 3 to 1), and grey in the place of yellow."""

HEAT = ((0, 0, 4), (66, 10, 104), (147, 38, 103), (221, 81, 58), (252, 165, 10), (252, 255, 164))
"""Dark to light in perceived even steps (the stops of matplotlib's `inferno`), for values 0, 0.2 … 1."""

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

HEAT = ((0, 0, 4), (66, 10, 104), (147, 38, 103), (221, 81, 58), (252, 165, 10), (252, 255, 164))
"""Dark to light in perceived even steps (the stops of matplotlib's `inferno`), for values 0, 0.2 … 1."""

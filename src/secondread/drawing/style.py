"""How figures look, and how large they are."""

from __future__ import annotations

from typing import Any

from secondread.drawing.palette import FAINT, INK

STYLE: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9.5,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "text.color": INK,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "figure.constrained_layout.hspace": 0.08,
    "figure.constrained_layout.wspace": 0.04,
    "svg.fonttype": "none",
}
WIDTH, HEIGHT = 5.0, 3.7
WIDE = 10.5
"""Inches. A wide figure takes both columns of the page, where letters come out equally large."""
ROW = 2.5

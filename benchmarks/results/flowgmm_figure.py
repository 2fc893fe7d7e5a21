"""The figure of flowgmm_toys.py: data, latent and decision per toy, and reliability diagrams."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np
import torch
from flowgmm_posterior import Labels, Posterior, Values, latent_of
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from PIL import Image
from scipy.special import expit

from secondread.drawing.palette import FAINT, FINDINGS, INK
from secondread.flows.flow import Flow
from secondread.metrics.reliability import reliability


@dataclass(frozen=True)
class Fitted:
    """A toy as it was learned: points `[n, 2]`, their classes, which had a label, and the flow."""

    name: str
    points: Values
    labels: Labels
    known: Labels
    flow: Flow
    colours: tuple[str, ...]


def save(path: Path, fitted: Sequence[Fitted], posteriors: Mapping[str, Mapping[str, Posterior]]) -> None:
    """Write `path`.png, in at most 256 colours, and `path`.svg."""
    style = {"font.size": 7, "svg.hashsalt": "flowgmm", "axes.titlesize": 8, "text.color": INK}
    with matplotlib.rc_context(style):
        figure = Figure(figsize=(7.4, 7.6), layout="constrained")
        grid = figure.subplots(3, 3)
        for row, toy in zip(grid, fitted, strict=False):
            draw_toy(row, toy)
        names = list(dict.fromkeys(name for found in posteriors.values() for name in found))
        looks = dict(zip(names, ((INK, "-"), *FINDINGS), strict=False))
        for axes, (title, found) in zip(grid[2], posteriors.items(), strict=False):
            draw_reliability(axes, title, found, looks)
        lines = [Line2D([], [], color=colour, linestyle=line) for colour, line in looks.values()]
        grid[2, 2].set_axis_off()
        grid[2, 2].legend(lines, names, loc="center left", frameon=False, title="latent; label weight")
        figure.savefig(path.with_suffix(".svg"), metadata={"Date": None})
        figure.savefig(path.with_suffix(".png"), dpi=120)
    with Image.open(path.with_suffix(".png")) as image:
        image.convert("RGB").quantize(256).save(path.with_suffix(".png"), optimize=True)


def draw_toy(row: Sequence[Axes], toy: Fitted) -> None:
    colours = np.array([to_rgb(colour) for colour in toy.colours])
    data, latent, decision = row
    with torch.no_grad():
        z = toy.flow(torch.as_tensor(toy.points, dtype=torch.float32)[:, :, None])[0][:, :, 0].numpy()
    data.scatter(*toy.points.T, s=2, color=FAINT, linewidths=0, label="no label", rasterized=True)
    mark_labelled(data, toy, toy.points, colours)
    data.set_title(f"{toy.name}: {len(toy.known)} of {len(toy.points):,} labelled")
    latent.scatter(*z.T, s=2, c=colours[toy.labels], linewidths=0, rasterized=True)
    latent.scatter(*latent_of(toy.flow).mixture.means.detach().numpy().T, marker="+", s=60, color=INK)
    latent.set_title("latent, by true class; + means")
    low, high = toy.points.min(axis=0) - 0.4, toy.points.max(axis=0) + 0.4
    side = np.stack(np.meshgrid(*np.linspace(low, high, 160).T), axis=-1)
    with torch.no_grad():
        points = torch.as_tensor(side.reshape(-1, 2, 1), dtype=torch.float32)
        posterior = latent_of(toy.flow).log_posterior(toy.flow(points)[0]).exp().numpy()
    pale = (0.45 * (posterior @ colours) + 0.55).reshape(160, 160, 3).clip(0, 1)
    extent = (low[0], high[0], low[1], high[1])
    decision.imshow(pale, origin="lower", extent=extent, aspect="auto", interpolation="bilinear")
    decision.scatter(*toy.points.T, s=1.5, c=colours[toy.labels], linewidths=0, rasterized=True)
    mark_labelled(decision, toy, toy.points, colours)
    decision.set_title("posterior over the data")
    for axes in row:
        axes.set_xticks([])
        axes.set_yticks([])


def mark_labelled(axes: Axes, toy: Fitted, points: Values, colours: Values) -> None:
    axes.scatter(
        *points[toy.known].T,
        s=34,
        marker="^",
        c=colours[toy.labels[toy.known]],
        edgecolors=INK,
        linewidths=0.8,
    )


def draw_reliability(
    axes: Axes, title: str, found: Mapping[str, Posterior], looks: Mapping[str, tuple[str, str]]
) -> None:
    axes.plot([0, 1], [0, 1], color=FAINT, linewidth=0.8)
    for name, posterior in found.items():
        colour, line = looks[name]
        seen = reliability(expit(posterior.logit), posterior.positive)
        filled = seen.count >= 20
        axes.plot(
            seen.probability[filled],
            seen.share_positive[filled],
            marker="o",
            markersize=2.5,
            linewidth=1,
            linestyle=line,
            color=colour,
        )
    axes.set_title(f"{title}: reliability, seed 0")
    axes.set_xlabel("posterior of class 1")
    axes.set_ylabel("share of class 1")

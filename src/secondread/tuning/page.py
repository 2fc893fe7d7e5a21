"""The page of a search: its figure, its best settings and all trials."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from pathlib import Path

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from secondread.drawing.palette import ABNORMAL, FAINT, METHOD
from secondread.drawing.panels import panels_size, small_panels
from secondread.drawing.style import STYLE
from secondread.outputs.whole import write_whole
from secondread.tuning.space import Varied
from secondread.tuning.trials import Tried
from secondread.wording.html_page import html_page, scrolling
from secondread.wording.html_tables import html_line, html_table
from secondread.wording.numbers import significant

MEANING = {
    "synthetic": "AUROC of held-out normals against the same images with drawn anomalies. It orders settings "
    "of one method; it does not say how well real findings are told, and methods cannot be compared by it.",
    "held-out": "Minus the loss on held-out normals, at the epoch that stays.",
}


def write_page(
    file: Path, trials: Sequence[Tried], best: Tried, objective: str, varied: Sequence[Varied]
) -> None:
    """Write the page, which needs nothing else."""
    drawn = io.BytesIO()
    draw_search(trials, best, varied).savefig(drawn, format="png", dpi=130, facecolor="white")
    picture = base64.b64encode(drawn.getvalue()).decode()
    keys = [one.key for one in varied]
    lines = [
        (trial.number + 1, *(str(trial.values[key]) for key in keys), significant(trial.value), trial.why)
        for trial in sorted(trials, key=lambda one: -(one.value if one.value is not None else -1e300))
    ]
    chosen = ", ".join(f"{key} = {value}" for key, value in best.values.items())
    text = html_page(
        "Search of settings",
        html_line(f"Best of {len(trials)} trials: {chosen}, value {significant(best.value)}."),
        html_line(f"{MEANING[objective]} No label and no image of the test took part."),
        f'<img src="data:image/png;base64,{picture}" alt="Value by trial and by each setting">',
        "<h2>All trials</h2>",
        scrolling(html_table(("trial", *keys, "value", "why it failed"), lines)),
    )
    write_whole(file, text.encode())


def draw_search(trials: Sequence[Tried], best: Tried, varied: Sequence[Varied]) -> Figure:
    """The value by trial, with the best so far, and against each setting."""
    done = [trial for trial in trials if trial.value is not None]
    with rc_context(STYLE):
        figure = Figure(figsize=panels_size(1 + len(varied)), layout="constrained")
        history, *panels = small_panels(figure, 1 + len(varied))
        numbers, values = [trial.number + 1 for trial in done], [trial.value or 0.0 for trial in done]
        history.plot(numbers, values, "o", color=METHOD, markersize=4)
        highest = [max(values[: place + 1]) for place in range(len(values))]
        history.step(numbers, highest, color=FAINT, where="post", linewidth=1.2)
        history.xaxis.set_major_locator(MaxNLocator(integer=True))
        history.set_xlabel("trial")
        history.set_ylabel("value")
        for axes, one in zip(panels, varied, strict=True):
            _against(axes, one, done, best)
    return figure


def _against(axes: Axes, one: Varied, done: Sequence[Tried], best: Tried) -> None:
    names = [str(value) for value in one.values]
    for trial in done:
        said = trial.values[one.key]
        place = names.index(str(said)) if names else float(said)
        colour, size = (ABNORMAL, 7) if trial is best else (METHOD, 4)
        axes.plot(place, trial.value or 0.0, "o", color=colour, markersize=size)
    if names:
        axes.set_xticks(range(len(names)), names)
    elif one.logarithmic:
        axes.set_xscale("log")
    axes.set_xlabel(one.key)
    axes.set_ylabel("value")

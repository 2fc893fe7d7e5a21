"""A page that shows a training while it goes on: it loads itself again every few seconds, and needs nothing
else."""

from __future__ import annotations

import base64
import io
import time
from datetime import UTC, datetime
from pathlib import Path

from secondread.outputs.whole import write_whole
from secondread.training.log import EpochLog, TrainingLog
from secondread.training.observer import Observer
from secondread.wording.durations import in_words
from secondread.wording.html_page import html_page
from secondread.wording.html_tables import html_line

PAGE = "training.html"
SECONDS_BETWEEN = 10.0
SHARE = 0.05
"""Of a training's time that drawing may take at most."""


class LivePage(Observer):
    """`training.html` in the folder of a fit under way: the curves of all stages, and where the fit is.

    It is drawn at the end of epochs, ten seconds apart or more, so that a short fit never waits for it.
    """

    def __init__(self, folder: Path, title: str, *, seconds_between: float = SECONDS_BETWEEN) -> None:
        self.file, self.title, self.between = folder / PAGE, title, seconds_between
        self.drawn = self.first = time.monotonic()
        self.cost = 0.0

    def begun(self, log: TrainingLog) -> None:
        self.drawn = self.first = time.monotonic()

    def epoch_ended(self, stage: str, epoch: EpochLog, epochs: int, log: TrainingLog) -> None:
        now = time.monotonic()
        if now - self.drawn < max(self.between, self.cost / SHARE):
            return
        left = epoch.seconds * (epochs - epoch.epoch - 1)
        where = (
            f"Stage {stage}, epoch {epoch.epoch + 1} of {epochs}; about {in_words(left)} more of this stage. "
            f"{in_words(now - self.first)} since this session began."
        )
        try:
            write_whole(self.file, self._page(where, log).encode())
        except OSError:  # a page that cannot be written costs no fit
            self.between = float("inf")
        self.drawn = time.monotonic()
        self.cost = self.drawn - now

    def _page(self, where: str, log: TrainingLog) -> str:
        seen = datetime.now(UTC).strftime("%H:%M:%S UTC")
        picture = _picture(log)
        shown = f'<img src="{picture}" alt="Losses by epoch">' if picture else "<p>The first epochs.</p>"
        return html_page(
            self.title,
            html_line(f"{where} Drawn at {seen}."),
            shown,
            refresh=max(5, int(min(self.between, 60))),
        )


def _picture(log: TrainingLog) -> str:
    """The curves as the address of a picture; empty before a stage has two epochs."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    from secondread.drawing.style import STYLE
    from secondread.drawing.training_curves import curves_size, draw_curves, with_curves

    stages = with_curves(log.stages)
    if not stages:
        return ""
    drawn = io.BytesIO()
    with rc_context(STYLE):
        figure = Figure(figsize=curves_size(stages), layout="constrained")
        draw_curves(figure, stages)
        figure.savefig(drawn, format="png", dpi=110, facecolor="white")
    return f"data:image/png;base64,{base64.b64encode(drawn.getvalue()).decode()}"

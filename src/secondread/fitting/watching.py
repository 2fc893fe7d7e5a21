"""Who watches a fit: the page of its curves, and the loggers that were asked for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from secondread.bundles.bundle import Bundle
from secondread.bundles.model_card import as_markdown
from secondread.fitting.unfinished import Unfinished
from secondread.recipes.recipe import Recipe
from secondread.recipes.without_places import without_places
from secondread.scoring.processes import process_rank
from secondread.terminal.interruption import Interrupted
from secondread.tracking.live_page import LivePage
from secondread.training.observer import Observer

if TYPE_CHECKING:
    from lightning_fabric.loggers import Logger

    from secondread.tracking.logged_training import LoggedTraining


@dataclass(frozen=True)
class Watching:
    """observers: of the training. logged: what tells loggers; None where there are none."""

    observers: tuple[Observer, ...] = ()
    logged: LoggedTraining | None = None

    def finish(self, bundle: Bundle) -> None:
        """The bundle is written."""
        if self.logged is not None and bundle.path is not None:
            made = bundle.provenance
            facts = {f"seconds/{part}": seconds for part, seconds in made.seconds.items()}
            facts |= {f"images/{cohort}": count for cohort, count in made.cohorts.items()}
            self.logged.finish(facts, as_markdown(bundle.card))


def logs_beside(out: Path) -> Path:
    """Where the logs of a bundle lie: `bundle.logs` beside `bundle`."""
    return out.with_name(f"{out.name}.logs")


@contextmanager
def watching(loggers: Sequence[str | Logger], recipe: Recipe, unfinished: Unfinished) -> Iterator[Watching]:
    """Those that watch the block; loggers hear how it ended. In process 0 alone."""
    if process_rank() != 0:
        yield Watching()
        return
    out, title = unfinished.out, recipe.about.title
    page = LivePage(unfinished.folder, f"{title}: {out.name}")
    if not loggers:
        yield Watching((page,))
        return
    from secondread.tracking.logged_training import LoggedTraining
    from secondread.tracking.loggers import loggers_of

    settings = {**without_places(recipe.model_dump(mode="json")), "fit": unfinished.identity}
    logged = LoggedTraining(loggers_of(loggers, logs_beside(out), out.name), settings)
    try:
        yield Watching((page, logged), logged)
    except BaseException as error:
        logged.close("aborted" if isinstance(error, Interrupted | KeyboardInterrupt) else "failed")
        raise

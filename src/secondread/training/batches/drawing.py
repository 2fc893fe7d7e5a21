"""Batches with the synthetic anomalies of a stage (`Stage.draw`), drawn between steps or ahead of them.

Each batch is drawn from the fit's seed and from which batch it is, on the CPU and in one thread, so that
the numbers are the same in this process and in any number of others. The first batches are drawn here and
timed. Where drawing is a considerable share of a step, and what is left of it takes much longer than
processes take to start, worker processes draw the rest, a few batches ahead; while they start, this process
goes on. There are as many of them as keep up with the steps, and no more than the fit was given.

Processes and not threads: drawing is many short operations, and threads wait for one another's. A batch
travels to a worker and back through a socket. For a fit on a GPU images move there once they are drawn.
"""

from __future__ import annotations

import math
import pickle
import time
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import chain, islice

from secondread.anomalies.anomaly import Anomalies
from secondread.detectors.contract import Batch, Draw
from secondread.errors import UserError
from secondread.images.workers.map_in_workers import make_pool
from secondread.images.workers.outcome import Failed
from secondread.images.workers.pool import Pool
from secondread.training.batches.coming import Planned
from secondread.training.batches.drawing_worker import DrawInWorker, Item, Seed, arrays_of, drawn
from secondread.training.batches.loading import Loader, one_ahead
from secondread.training.batches.stage_data import VALIDATION
from secondread.training.fit_state import Run

TIMED = 8
"""Batches that are drawn here and timed, but for the first."""
START_S = 5.0
"""About what a worker takes to start, most of it the import of PyTorch."""
WORTH_S = 20.0
"""Seconds of drawing that should be left for workers to pay."""
WORTH_SHARE = 0.1
"""Of a step, that drawing should take for workers to pay."""
LONGEST_S = 1800.0
"""For one batch, after which its worker counts as hanging."""
ADDRESS_SPACE = 1 << 38
"""Bytes; workers run no code that a file could take over, so that their memory is the system's affair."""


@dataclass
class Drawing:
    """The batches of a stage on the CPU, with what is drawn.

    cohorts         for which held-out normals stand
    drawn_s, begun  seconds of drawing after the first batch, and since when
    workers         processes that draw ahead
    """

    run: Run
    stage: str
    cohorts: Iterable[str]
    draw: Draw
    loader: Loader
    drawn_s: float = 0.0
    begun: float = 0.0
    workers: int = field(default=0, init=False)

    def batches(self, planned: Iterator[Planned], count: int) -> Generator[dict[str, Batch]]:
        """The planned batches in order, of which there are `count`."""
        yield from self._here(islice(planned, TIMED))
        left = count - TIMED
        if left <= 0:
            return
        each = (time.monotonic() - self.begun) / (TIMED - 1)
        self.workers = workers_that_pay(self.drawn_s / (TIMED - 1), each, left, self.run.workers)
        meanwhile = list(islice(planned, math.ceil(START_S / each))) if self.workers else []
        waiting: deque[dict[str, Batch]] = deque()
        coming = self._items(planned, waiting)
        pool = self._pool(coming)
        if pool is None:
            yield from self._here(chain(meanwhile, planned))
            return
        try:
            pool.start()
            yield from self._here(meanwhile)
            for result in pool.results():
                if isinstance(result, Failed):
                    raise UserError(
                        f"stage {self.stage!r}: a process that draws anomalies ahead failed "
                        f"({result.error}); the same command goes on, and with --workers 0 in one process"
                    )
                if isinstance(result.value, str):
                    raise UserError(result.value)
                found = {name: made.anomalies() for name, made in result.value.items()}
                yield with_drawn(waiting.popleft(), found)
        finally:
            pool.close()
            coming.close()

    def _load(self, planned: Planned) -> tuple[Planned, dict[str, Batch]]:
        loaded = self.loader.batch(planned.indices, planned.epoch)
        if planned.epoch is None:
            loaded = {**dict.fromkeys(self.cohorts, loaded[VALIDATION]), **loaded}
        return planned, loaded

    def _here(self, planned: Iterable[Planned]) -> Iterator[dict[str, Batch]]:
        for each, batches in one_ahead(self._load, planned):
            before = time.monotonic()
            found = drawn(self.draw, arrays_of(batches), self._seed(each))
            if self.begun:
                self.drawn_s += time.monotonic() - before
            yield with_drawn(batches, found)
            self.begun = self.begun or time.monotonic()

    def _items(self, planned: Iterator[Planned], waiting: deque[dict[str, Batch]]) -> Generator[Item]:
        for each, batches in one_ahead(self._load, planned):
            waiting.append(batches)
            yield " ".join(map(str, each.where)), self._seed(each), arrays_of(batches)

    def _seed(self, planned: Planned) -> Seed:
        return (self.run.seed, *planned.where, "drawn")

    def _pool(self, items: Iterator[Item]) -> Pool | None:
        """None where nothing is drawn ahead."""
        if not self.workers:
            return None
        if getattr(self.draw, "__module__", "") == "__main__":
            self._say("is defined in __main__, which other processes cannot import, so it runs between steps")
            return None
        try:
            pool = make_pool(
                DrawInWorker(self.draw), items, workers=self.workers, ahead=2 * self.workers,
                timeout_s=LONGEST_S, memory_bytes=ADDRESS_SPACE,
            )  # fmt: skip
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            self._say(f"cannot be sent to another process ({error}), so it runs between steps")
            return None
        processes = "a process" if self.workers == 1 else f"{self.workers} processes"
        self._say(f"is run ahead in {processes}")
        return pool

    def _say(self, what: str) -> None:
        self.run.progress.say(f"stage {self.stage}  the drawing of anomalies {what}")


def workers_that_pay(drawing_s: float, each_s: float, left: int, most: int) -> int:
    """How many workers are to draw `left` batches, each of which takes `each_s` seconds here, `drawing_s` of
    it for drawing: 0 where none pays, else as many as keep up with the steps."""
    step_s = each_s - drawing_s
    if most < 1 or drawing_s * left < WORTH_S or drawing_s < WORTH_SHARE * step_s:
        return 0
    return max(1, min(most, math.ceil(drawing_s / max(step_s, 1e-9))))


def with_drawn(batches: Mapping[str, Batch], found: Mapping[str, Anomalies]) -> dict[str, Batch]:
    return {name: replace(batch, drawn=found.get(name)) for name, batch in batches.items()}

"""Several processes that judge prepared images, batch by batch in turn.

A detector is asked for one image at a time, which keeps few threads busy. On a machine of many cores, several
processes with a share of them each read faster than one with all.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext, suppress
from itertools import cycle
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any, TypeVar

from secondread.bundles.decisions import Decisions
from secondread.bundles.fitted_model import FittedModel
from secondread.errors import DataError, UserError
from secondread.images.workers.threads import VARIABLE, threads
from secondread.readings.apart.messages import Asked, Model, Refused
from secondread.recipes.outside_code import places_of

Batch = TypeVar("Batch")


class _Judge:
    """One process, and the connection to it."""

    def __init__(self, model: Model, share: int) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            self.process = subprocess.Popen(
                [
                    sys.executable,
                    "-P",
                    "-m",
                    "secondread.readings.apart.process",
                    str(os.getpid()),
                    str(theirs.fileno()),
                ],
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL,
                start_new_session=True,
                env={**os.environ, VARIABLE: str(share), "PYTHONPATH": os.pathsep.join(sys.path)},
            )
        self.connection = Connection(ours.detach())
        self._send(model)

    def give(self, asked: Asked) -> None:
        self._send(asked)

    def take(self) -> Decisions:
        """Its answer to what it was given first. UserError or DataError where it has none."""
        try:
            found = self.connection.recv()
        except (EOFError, ConnectionError):
            raise UserError(self._why_ended()) from None
        if isinstance(found, Refused):
            raise (DataError if found.data else UserError)(found.problem)
        assert isinstance(found, Decisions)
        return found

    def _send(self, what: Any) -> None:
        with suppress(BrokenPipeError, ConnectionError):  # then taking says so
            self.connection.send(what)

    def _why_ended(self) -> str:
        status = self.process.wait()
        how = f"by signal {-status}, perhaps for memory" if status < 0 else f"with status {status}"
        return (
            f"a process that computes ended {how}; readings that are written stay, and the same command goes "
            "on, with fewer --processes (in Python processes=) if it must"
        )

    def end(self) -> None:
        self.connection.close()
        self.process.kill()
        self.process.wait()


class Judges(AbstractContextManager["Judges"]):
    """`processes` of them for one fitted model, until the block ends.

    Each loads the model and gets an equal share of this process's threads, one at least. UserError for a
    model that was not saved.
    """

    def __init__(self, bundle: FittedModel, processes: int) -> None:
        if bundle.path is None:
            raise UserError(
                "several processes read a bundle from its folder: save it first, or give processes=1"
            )
        model = Model(str(bundle.path.absolute()), bundle.digest, bundle.device, places_of(bundle.recipe))
        share = max(1, threads().number // processes)
        self.judges: list[_Judge] = []
        try:
            for _ in range(processes):
                self.judges.append(_Judge(model, share))
        except BaseException:
            self._end()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def _end(self) -> None:
        for judge in self.judges:
            judge.end()

    def judged(
        self, batches: Iterable[tuple[Batch, Asked | None]]
    ) -> Iterator[tuple[Batch, Decisions | None]]:
        """Each batch with its decisions, in order; those without images have none. As many batches as there
        are processes are under way."""
        turns = cycle(self.judges)
        waiting: deque[tuple[Batch, _Judge | None]] = deque()
        for batch, asked in batches:
            done = self._taken(*waiting.popleft()) if len(waiting) == len(self.judges) else None
            judge = None if asked is None else next(turns)
            if judge is not None and asked is not None:
                judge.give(asked)
            waiting.append((batch, judge))
            if done is not None:
                yield done
        while waiting:
            yield self._taken(*waiting.popleft())

    @staticmethod
    def _taken(batch: Batch, judge: _Judge | None) -> tuple[Batch, Decisions | None]:
        return batch, None if judge is None else judge.take()


def judging(bundle: FittedModel, processes: int) -> AbstractContextManager[Judges | None]:
    """The processes for the block; None where this one is to do."""
    return Judges(bundle, processes) if processes > 1 else nullcontext()

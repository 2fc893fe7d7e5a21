"""Work in numbered pieces, handed out to the workers of a Ray cluster: one driver, no list of the pieces."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Protocol, TypeVar

from secondread.clusters.joined import connected, import_ray
from secondread.clusters.machines import alive, refuse_too_small, refuse_unshared
from secondread.terminal.interruption import StopRequest

LOOK_SECONDS = 0.5
PER_WORKER = 2
"""Pieces handed out for each worker: the one that it does, and the next."""


class Numbered(Protocol):
    @property
    def number(self) -> int: ...


Piece = TypeVar("Piece", bound=Numbered)


@dataclass(frozen=True)
class Lost:
    """A piece whose worker ended without a result, and why."""

    number: int
    why: str


@contextmanager
def joined_workers(
    address: str, folder: Path, sees: Sequence[str] = (), *, cores: int | None = None, store: int = 0
) -> Iterator[tuple[Any, StopRequest]]:
    """Ray for the block, and what tells that it is to end: Ctrl-C and SIGTERM, after which KeyboardInterrupt
    is raised at the block's end.

    address, cores, store   as `connected` has them
    folder, sees            what every machine has to see: where results go, and files such as the first image

    Raises UserError where Ray is missing or cannot be reached, or where a machine does not see what it needs.
    """
    ray = import_ray()
    with connected(ray, address, cores, store), StopRequest() as stop:
        nodes = alive(ray)
        refuse_too_small(nodes, 1)
        refuse_unshared(ray, nodes, folder, sees)
        yield ray, stop


def handed_out(
    ray: Any,
    begin: Callable[[Piece], Any],
    pieces: Iterator[Piece],
    stop: StopRequest,
    resource: str = "CPU",
) -> Iterator[Any]:
    """What becomes of each piece, in the order in which they end; a `Lost` where nothing does.

    begin     hands a piece to Ray and gives its reference
    resource  of which every piece takes one

    Once a stop is requested, what is under way is cancelled and nothing more is given.
    """
    calls: dict[Any, int] = {}
    told = False
    try:
        while True:
            if not stop.requested:
                # asked each time: a machine may join, or leave
                workers = int(ray.cluster_resources().get(resource, 1)) or 1
                for piece in islice(pieces, max(0, PER_WORKER * workers - len(calls))):
                    calls[begin(piece)] = piece.number
            elif not told:
                told = True
                _cancel(ray, calls)
            if not calls:
                return
            ended, _ = ray.wait(list(calls), timeout=LOOK_SECONDS)
            for call in ended:
                found = _result_of(ray, call, calls.pop(call))
                if not told:
                    yield found
    finally:
        _cancel(ray, calls)


def _cancel(ray: Any, calls: dict[Any, int]) -> None:
    for call in calls:
        ray.cancel(call, force=False)


def _result_of(ray: Any, call: Any, number: int) -> Any:
    try:
        return ray.get(call)
    except Exception as error:
        last = (str(error).strip().splitlines() or [""])[-1]
        return Lost(number, f"{type(error).__name__}: {last}")

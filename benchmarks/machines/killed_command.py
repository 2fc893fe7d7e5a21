"""A command in a child process that has imported everything, and a signal to it or to one of its tasks."""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

LONGEST_SECONDS = 300.0


@dataclass(frozen=True)
class Ended:
    """How a run ended: its status (negative = a signal), what it said, and whether our signal reached it."""

    status: int
    said: str
    reached: bool
    seconds: float
    orphans: int = 0


def import_everything() -> None:
    """What commands import when they run, so that their children have it already."""
    import importlib
    import pkgutil

    import secondread

    for module in pkgutil.walk_packages(secondread.__path__, "secondread."):
        if not module.name.endswith(("ray_cluster", "encoder_weights")):
            importlib.import_module(module.name)


def run(words: Sequence[str], log: Path, *, after: float | None, number: int, at_task: bool = False) -> Ended:
    """A command in a child process, and a signal to it after so many seconds (none: it runs to its end)."""
    begun = time.monotonic()
    child = os.fork()
    if child == 0:
        as_command(words, log)
    signalled = reached = False
    seen: dict[int, psutil.Process] = {}
    sent_at = begun
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        now = time.monotonic()
        if ended:
            break
        if after is not None and not signalled and now - begun >= after:
            signalled, sent_at = True, now
            seen = {process.pid: process for process in children_of(child)}
            tasks = [process.pid for process in seen.values() if is_task(process)]
            target = random.Random(int(after * 1e6)).choice(tasks) if at_task and tasks else child
            reached = send(target, number)
            at_task = target != child
        if now - begun > LONGEST_SECONDS:
            os.kill(child, signal.SIGKILL)
        time.sleep(0.002)
    code = -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
    said = log.read_text(errors="replace") if log.exists() else ""
    orphans = living(seen) if reached and not at_task else 0
    return Ended(code, said, reached, time.monotonic() - (sent_at if signalled else begun), orphans)


def as_command(words: Sequence[str], log: Path) -> None:
    """Become the command; never returns."""
    code = 1
    try:
        os.setsid()
        signal.signal(signal.SIGINT, signal.default_int_handler)
        written = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.dup2(written, 1)
        os.dup2(written, 2)
        sys.stdout, sys.stderr = os.fdopen(1, "w", closefd=False), os.fdopen(2, "w", closefd=False)
        sys.argv = ["secondread", *words]
        from secondread.cli.main import main

        main()
        code = 0
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else 1
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def send(process: int, number: int) -> bool:
    try:
        os.kill(process, number)
    except ProcessLookupError:
        return False
    return True


def children_of(process: int) -> list[psutil.Process]:
    try:
        return psutil.Process(process).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def is_task(process: psutil.Process) -> bool:
    try:
        return "secondread.comparison.running.one_run" in process.cmdline()
    except psutil.Error:
        return False


def living(seen: dict[int, psutil.Process], seconds: float = 10.0) -> int:
    """How many of the processes are still there some seconds later."""
    until = time.monotonic() + seconds
    left = list(seen.values())
    while left and time.monotonic() < until:
        left = [each for each in left if each.is_running() and each.status() != psutil.STATUS_ZOMBIE]
        time.sleep(0.02)
    for each in left:
        each.kill()
    return len(left)

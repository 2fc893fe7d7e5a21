"""The parent's side of a process: started, asked to end, started again after it died."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import secrets
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from secondread.service.processes.roles import Role
from secondread.service.settings.service import ServiceSettings
from secondread.terminal.events import log_event

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.25, 30.0
STEADY_S = 60.0
"""Whoever lived so long starts again at once."""
Hear = Callable[["Child", str, Mapping[str, Any]], None]
"""Gets each event of a child with its facts."""


class Child:
    """One of the service's processes, over all its lives.

    name   of this life: the ids of its workers begin with it
    pause  seconds before it is started again; doubled each time that it dies soon
    """

    def __init__(self, role: Role, number: int, settings: ServiceSettings, hear: Hear) -> None:
        self.role, self.number = role, number
        self.name = ""
        self.deaths = 0
        self.pause = FIRST_PAUSE_S
        self._settings = settings.model_dump_json().encode() + b"\n"
        self._hear = hear
        self._process: subprocess.Popen[bytes] | None = None
        self._reader: threading.Thread | None = None
        self._begun = 0.0
        self._due = 0.0

    @property
    def pid(self) -> int | None:
        return None if self._process is None else self._process.pid

    @property
    def is_due(self) -> bool:
        return self._process is None and time.monotonic() >= self._due

    def start(self) -> None:
        """From the thread that lives as long as the service: its end would be the child's."""
        self.name = f"{self.role}-{self.number}-{secrets.token_hex(4)}"
        command = [sys.executable, "-m", "secondread.service.processes.child", self.role, self.name]
        self._begun = time.monotonic()
        try:
            self._process = subprocess.Popen(
                [*command, str(os.getpid())], stdin=subprocess.PIPE, stdout=subprocess.PIPE
            )
        except OSError as error:  # no memory, no process left: later there may be
            log_event("process not started", level=logging.ERROR, process=self.role, error=error.strerror)
            self._put_off()
            return
        self._reader = threading.Thread(target=self._read, args=(self._process,), daemon=True)
        self._reader.start()
        self._write(self._settings)
        log_event("process started", process=self.role, number=float(self.number))

    def ask_to_end(self) -> None:
        self._write(b"end\n")

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()

    def ended(self) -> int | None:
        """Its exit status where it has just ended (a signal's number, negative), and None where it lives or
        was ended before."""
        if self._process is None or (status := self._process.poll()) is None:
            return None
        assert self._reader is not None
        self._reader.join(1.0)
        with contextlib.suppress(OSError):
            assert self._process.stdin is not None
            self._process.stdin.close()
        self._process = None
        if time.monotonic() - self._begun >= STEADY_S:
            self.deaths, self.pause = 0, FIRST_PAUSE_S
        self.deaths += 1
        self._put_off()
        return status

    def _put_off(self) -> None:
        self._due = time.monotonic() + self.pause
        self.pause = min(2 * self.pause, LONGEST_PAUSE_S)

    def _write(self, line: bytes) -> None:
        if self._process is not None and self._process.stdin is not None:
            with contextlib.suppress(OSError):  # it died
                self._process.stdin.write(line)
                self._process.stdin.flush()

    def _read(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            try:
                said = json.loads(line)
                event, level = str(said.pop("event")), str(said.pop("level"))
            except (ValueError, KeyError, AttributeError):
                continue  # a library printed, or the line was cut by a kill; it may hold anything
            said.pop("time", None)
            facts = {key: value for key, value in said.items() if isinstance(value, str | float | int)}
            number = logging.getLevelNamesMapping().get(level, logging.INFO)
            log_event(event, level=number, facts={"process": self.role, "number": self.number, **facts})
            self._hear(self, event, facts)

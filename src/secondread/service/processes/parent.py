"""The parent of the service's processes: it starts them, starts one again that died, and ends them all."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import FrameType
from typing import Any

from secondread.service.processes.caretaker import Caretaker
from secondread.service.processes.children import Child
from secondread.service.processes.logbook import logbook
from secondread.service.processes.prepare import hold_spool, prepare
from secondread.service.processes.roles import ROLES, Role
from secondread.service.settings.service import ServiceSettings
from secondread.terminal.events import log_event

STOP_S = 30.0
"""What is not finished so long after a stop was asked for is given back or begun again at the next start."""
LOOK_S = 0.1

Tell = Callable[[str], None]


class Service:
    """The processes of a service, in the process group of whoever starts it.

    file  the configuration's
    only  these roles alone: further machines run scorers beside the first
    """

    def __init__(
        self, settings: ServiceSettings, file: Path, tell: Tell, *, only: tuple[Role, ...] = ROLES
    ) -> None:
        self.settings, self.only = settings, only
        self._file = file
        self._tell = tell
        self._asked = threading.Event()
        self._hurry = self._say_who = False
        self._lock = threading.Lock()
        self.children = [
            Child(role, number, settings, self._hear)
            for role in ROLES
            if role in only
            for number in range(settings.scorers if role == "scorer" else 1)
        ]

    def run(self) -> None:
        """Until SIGTERM or SIGINT; then everything ends within `STOP_S`, at a second signal at once.

        Raises UserError where another service holds the spool, the spool cannot be written, or a newer
        version made the database.
        """
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._note)
        with ExitStack() as held:
            held.enter_context(hold_spool(self.settings, self.only))
            held.enter_context(logbook(self.settings, machine=self.only != ROLES))
            prepared = prepare(self.settings, self._asked, self.say)
            if prepared is None:
                return
            database, spool, nobody = prepared
            if nobody and "page" in self.only:
                add = f"secondread service person add {self._file} NAME --role administrator"
                self.say(f"nobody may log in yet; add the first one: {add}")
            held.callback(database.close)
            caretaker = held.enter_context(Caretaker(database, spool))
            log_event("service started", processes=len(self.children))
            self._watch(caretaker)
            self._end(caretaker)
            log_event("service ended")

    def _watch(self, caretaker: Caretaker) -> None:
        while not self._asked.is_set():
            for child in self.children:
                if (status := child.ended()) is not None:
                    self._died(child, status, caretaker)
                if child.is_due and not self._asked.is_set():
                    child.start()
            if self._say_who:
                self._say_who = False
                self._say_processes()
            self._asked.wait(LOOK_S)

    def _died(self, child: Child, status: int, caretaker: Caretaker) -> None:
        log_event("process died", level=logging.ERROR, process=child.role, status=status, deaths=child.deaths)
        self.say(f"the {child.role} ended ({_how(status)}) and is started again")
        caretaker.died(child.name, child.role, child.deaths)

    def _end(self, caretaker: Caretaker) -> None:
        self.say(f"ending; what is not finished in {STOP_S:g} s is given back")
        log_event("service ending")
        until = time.monotonic() + STOP_S
        living = [child for child in self.children if child.pid is not None]
        for child in reversed(living):  # the receiver first: nothing comes in any more
            child.ask_to_end()
        while living and time.monotonic() < until and not self._hurry:
            living = [child for child in living if not self._has_ended(child, caretaker)]
            time.sleep(LOOK_S / 2)
        for child in living:
            log_event("process killed", level=logging.WARNING, process=child.role)
            child.kill()
        while living:
            living = [child for child in living if not self._has_ended(child, caretaker)]
            time.sleep(LOOK_S / 2)

    def _has_ended(self, child: Child, caretaker: Caretaker) -> bool:
        if child.ended() is None:
            return False
        caretaker.died(child.name, child.role, 0)
        return True

    def _note(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGHUP:
            self._say_who = True
            return
        self._hurry = self._asked.is_set()
        self._asked.set()

    def _hear(self, child: Child, event: str, facts: Mapping[str, Any]) -> None:
        if event == "page listens":
            page = self.settings.page
            scheme = "https" if facts.get("tls") else "http"
            at = page.public_url or f"{scheme}://{page.address}:{int(facts['port'])}/"
            self.say(f"the worklist is at {at}")
        if event == "receiver listens":
            receive = self.settings.receive
            self.say(f"studies are received at {receive.title}@{receive.address}:{int(facts['port'])}")

    def _say_processes(self) -> None:
        self.say(f"process {os.getpid()} holds {self.settings.spool}")
        for child in self.children:
            self.say(f"{child.role} {child.number}: " + (f"process {child.pid}" if child.pid else "waits"))

    def say(self, line: str) -> None:
        with self._lock:
            self._tell(line)


def _how(status: int) -> str:
    if status < 0:
        try:
            return signal.Signals(-status).name
        except ValueError:
            return f"signal {-status}"
    return f"status {status}"

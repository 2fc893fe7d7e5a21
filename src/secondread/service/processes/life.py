"""What a process of the service does between its start and its end."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import sys
import threading
import traceback
import warnings
from io import TextIOWrapper
from typing import TextIO, cast

from secondread.errors import DataError, UserError
from secondread.outputs.private import OTHERS
from secondread.service.processes.roles import Role, run_of
from secondread.service.settings.service import ServiceSettings
from secondread.terminal.events import PACKAGE, log_event, place_in_code
from secondread.terminal.log_lines import Lines, harmless_words
from secondread.terminal.say import say

CANNOT, CRASHED = 3, 70
"""Exit statuses: a line said why it cannot work; something that nobody foresaw."""


def live(role: Role, name: str) -> None:
    """Read the configuration from the input, work until the parent says otherwise, and end the process."""
    os.umask(OTHERS)
    multiprocessing.current_process().name = name
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGHUP):  # a terminal tells its whole group; the parent decides
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda _number, _frame: stop.set())
    _log_to_parent()
    settings = ServiceSettings.model_validate_json(sys.stdin.buffer.readline())
    threading.Thread(target=_heed, args=(stop,), name="heed", daemon=True).start()
    status = _run(role, settings, stop)
    logging.shutdown()
    sys.stdout.flush()
    os._exit(status)  # threads of libraries do not hold it up


def _run(role: Role, settings: ServiceSettings, stop: threading.Event) -> int:
    try:
        run_of(role)(settings, stop)
    except (UserError, DataError) as error:
        say(f"secondread: {role}: {' '.join(str(error).split())}")
        log_event(f"{role} cannot work", level=logging.ERROR, error=type(error).__name__)
        return CANNOT
    except BaseException as error:
        _log_crash(error)
        return CRASHED
    return 0


def _heed(stop: threading.Event) -> None:
    """The parent's word; without a parent nobody would say when to end."""
    if sys.stdin.buffer.readline():
        stop.set()
        sys.stdin.buffer.read()
    os.kill(os.getpid(), signal.SIGKILL)


class _Output(logging.StreamHandler[TextIO]):
    def handleError(self, record: logging.LogRecord) -> None:
        """The parent is gone, and so is this process in a moment."""


def _log_to_parent() -> None:
    """Events and warnings as lines; the text of an error, which may name a patient, nowhere."""
    cast(TextIOWrapper, sys.stdout).reconfigure(encoding="utf-8", errors="replace")
    handler = _Output(sys.stdout)
    handler.setFormatter(Lines())
    logging.getLogger().addHandler(handler)
    logging.getLogger(PACKAGE).setLevel(logging.INFO)
    warnings.showwarning = _log_warning
    threading.excepthook = lambda failed: _log_crash(failed.exc_value)


def _log_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: object = None,
    line: str | None = None,
) -> None:
    place = place_in_code(filename, lineno)
    text = harmless_words(str(message), place)
    log_event("warning", level=logging.WARNING, kind=category.__name__, at=place, text=text)


def _log_crash(error: BaseException | None) -> None:
    if error is None or isinstance(error, SystemExit):
        return
    frames = traceback.extract_tb(error.__traceback__)
    places = [place_in_code(frame.filename, frame.lineno) for frame in frames]
    log_event("crash", level=logging.ERROR, error=type(error).__name__, at=" < ".join(places[::-1]))

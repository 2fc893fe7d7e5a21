"""`--verbose` and `--log-file`: what was done and what libraries warned of, for a person and for a program.

A log is there to be sent with a question, so nothing of a patient enters it. Events say counts and
durations. Of an expected failure its exit code is kept and of a crash the places in the code; their texts,
which may name files and patients, stay on the screen. Of warnings by libraries that read images only the kind
and the place are kept, of others the text without what looks like a path.
"""

from __future__ import annotations

import functools
import inspect
import logging
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, ParamSpec, TextIO, TypeVar

import typer

from secondread.cli.failures import WRONG_USE, stop
from secondread.outputs.run_record import versions
from secondread.terminal.events import PACKAGE, log_event, place_in_code
from secondread.terminal.log_lines import Lines, harmless_words, told
from secondread.terminal.say import say

P = ParamSpec("P")
R = TypeVar("R")

Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Say on stderr what is done, as it is done.")]
LogFile = Annotated[
    Path | None,
    typer.Option(
        "--log-file",
        metavar="FILE",
        help="Append what was done, and warnings of libraries, as JSON lines without patient data.",
    ),
]


def logged(command: Callable[P, R]) -> Callable[..., R]:
    """The command with `--verbose` and `--log-file`."""

    @functools.wraps(command)
    def run(*args: Any, verbose: bool = False, log_file: Path | None = None, **kwargs: Any) -> R:
        with _logging_to(command.__name__, verbose=verbose, file=log_file):
            return command(*args, **kwargs)

    own = {"verbose": (Verbose, False), "log_file": (LogFile, None)}
    signature = inspect.signature(command, eval_str=True)
    added = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=annotation, default=default)
        for name, (annotation, default) in own.items()
    ]
    run.__signature__ = signature.replace(parameters=[*signature.parameters.values(), *added])  # type: ignore[attr-defined]
    # As the signature has them, evaluated: typer would compile each text again.
    run.__annotations__ = {name: given.annotation for name, given in signature.parameters.items()}
    run.__annotations__ |= {name: kind for name, (kind, _) in own.items()}
    return run


@contextmanager
def _logging_to(command: str, *, verbose: bool, file: Path | None) -> Iterator[None]:
    """Within the block events and warnings go where they were asked for; what ended it is the last line."""
    handlers: list[logging.Handler] = [*([_Screen()] if verbose else []), *([_opened(file)] if file else [])]
    if not handlers:
        yield
        return
    begun = time.monotonic()
    with _listening(handlers):
        log_event("command begun", command=command, facts=versions())
        try:
            yield
        except typer.Exit as stop:
            log_event("command ended", exit_code=stop.exit_code, seconds=round(time.monotonic() - begun, 3))
            raise
        except BaseException as error:
            places = [
                place_in_code(at.filename, at.lineno) for at in traceback.extract_tb(error.__traceback__)
            ]
            log_event("crash", level=logging.ERROR, error=type(error).__name__, at=" < ".join(places[::-1]))
            raise
        log_event("command ended", exit_code=0, seconds=round(time.monotonic() - begun, 3))


def _opened(file: Path) -> logging.Handler:
    """The handler of a log that is new, or was begun by an earlier command."""
    try:
        with file.open("a+b") as stream:
            stream.seek(0)
            begun = stream.read(1)
        handler = logging.FileHandler(file, encoding="utf-8")
    except OSError as error:
        stop(f"--log-file {file}: cannot be written ({error.strerror}); choose another file", WRONG_USE)
    if begun not in (b"", b"{"):
        handler.close()
        stop(f"--log-file {file}: is another file and no log; choose another one", WRONG_USE)
    handler.setFormatter(Lines())
    return handler


@contextmanager
def _listening(handlers: list[logging.Handler]) -> Iterator[None]:
    """The handlers hear the package's events and every library's warnings, which still reach the screen."""
    root, own = logging.getLogger(), logging.getLogger(PACKAGE)
    level, shown = own.level, warnings.showwarning

    def heard(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        text = harmless_words(str(message), place_in_code(filename, lineno))
        facts = {"kind": category.__name__, "at": place_in_code(filename, lineno), "text": text}
        own.warning("warning", extra={"facts": facts})
        shown(message, category, filename, lineno, file, line)

    own.setLevel(logging.INFO)
    warnings.showwarning = heard
    for handler in handlers:
        root.addHandler(handler)
    try:
        yield
    finally:
        for handler in handlers:
            root.removeHandler(handler)
            handler.close()
        warnings.showwarning = shown
        own.setLevel(level)


class _Screen(logging.Handler):
    """Each record as one line on stderr, through whatever shows a bar there."""

    def emit(self, record: logging.LogRecord) -> None:
        event, facts = told(record)
        clock = time.strftime("%H:%M:%S", time.localtime(record.created))
        say(f"{clock} {' '.join([event, *(f'{name}={value}' for name, value in facts.items())])}")

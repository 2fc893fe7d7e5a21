"""Every failure that a person can mend is one line and an exit code; everything else is a bug."""

from __future__ import annotations

import errno
import functools
from collections.abc import Callable
from typing import NoReturn, ParamSpec, TypeVar

import typer

from secondread.cli.asked import OPTIONS
from secondread.errors import DataError, UserError
from secondread.terminal.say import harmless, say

P = ParamSpec("P")
R = TypeVar("R")

FINDINGS, WRONG_USE, UNREADABLE, INTERRUPTED = 1, 2, 3, 130


NO_SUCH_PLACE = (errno.ENAMETOOLONG, errno.ELOOP, errno.ENOTDIR, errno.EISDIR)
"""What a person's path was that no file can lie at."""
LONGEST_NAME = 200


def one_line(go_on: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Print what a command's known failures say as one line and exit: 2 wrong use, 3 unreadable data,
    130 interrupted (followed by `go_on`, how to continue)."""

    def decorate(command: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(command)
        def run(*args: P.args, **kwargs: P.kwargs) -> R:
            OPTIONS.set(kwargs)
            try:
                return command(*args, **kwargs)
            except UserError as error:
                stop(str(error), WRONG_USE)
            except DataError as error:
                stop(str(error), UNREADABLE)
            except KeyboardInterrupt:
                stop(f"interrupted; {go_on}", INTERRUPTED)
            except OSError as error:
                if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                    stop(f"{error.filename or 'the disk'}: no room left; free some space, {go_on}", WRONG_USE)
                if error.errno in (errno.EACCES, errno.EROFS, errno.EPERM):
                    stop(
                        f"{error.filename or 'a file'}: {error.strerror}; check who may read and write there",
                        WRONG_USE,
                    )
                if error.errno in NO_SUCH_PLACE and error.filename:
                    stop(f"{_short(error.filename)}: {error.strerror}; give another place", WRONG_USE)
                raise
            except Exception as error:
                stop_if_known(error)
                raise

        return run

    return decorate


def _short(name: object) -> str:
    text = str(name)
    return text if len(text) <= LONGEST_NAME else f"{text[:LONGEST_NAME]}…"


def stop_if_known(error: Exception) -> None:
    """The failures whose classes live in rooms that a command may not have needed."""
    from secondread.images.image import ImageError
    from secondread.terminal.interruption import Interrupted

    if isinstance(error, ImageError):
        stop(str(error), UNREADABLE)
    if isinstance(error, Interrupted):
        stop(str(error), INTERRUPTED)
    if isinstance(error, RuntimeError) and str(error).startswith("Symlink loop"):  # of Path.resolve
        stop(f"{error}; give another place", WRONG_USE)


def stop(message: str, code: int) -> NoReturn:
    """Print a message, a line for each of its mistakes, and exit."""
    for line in harmless(message).split("\n"):
        say(f"secondread: {' '.join(line.split())}")
    raise typer.Exit(code)

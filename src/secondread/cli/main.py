"""The entry point. Nothing is imported before an interruption would be one line."""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

INTERRUPTED = 130


def main() -> None:
    """The entry point of the `secondread` command."""
    try:
        from secondread.terminal.streams import open_closed_streams

        open_closed_streams()
        from secondread.cli.application import application
        from secondread.images.workers.threads import take_threads

        take_threads()
        os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")  # torch: large tensors in large pages
        os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")  # else it asks all installed packages
        application(sys.argv[1] if len(sys.argv) > 1 else None)(prog_name="secondread")
    except KeyboardInterrupt:
        _say_interrupted()
        sys.exit(INTERRUPTED)
    except SystemExit as stop:
        if isinstance(getattr(stop.__context__, "__cause__", None), KeyboardInterrupt):
            _say_interrupted()  # typer took it before a command could, and says nothing
        raise
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def _say_interrupted() -> None:
    print("secondread: interrupted", file=sys.stderr)


def __getattr__(name: str) -> Any:
    """`app`, for those who look at the commands."""
    if name != "app":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from secondread.cli.application import app

    return app

"""A process whose standard streams are closed works, and no file takes their place."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

NOISY = """
import os, sys
from secondread.terminal.say import say
from secondread.terminal.streams import open_closed_streams, watched
open_closed_streams()
with open("result", "w") as result:
    for number in (1, 2):
        os.write(number, b"a library speaks")
    say("a line for a person")
    print("a path")
    result.write(f"{watched()} {sys.stdin.readline()!r}")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="the shell closes the streams")
def test_what_is_said_stands_in_no_file(tmp_path: Path) -> None:
    closed = 'exec "$0" -c "$1" <&- >&- 2>&-'
    done = subprocess.run(["sh", "-c", closed, sys.executable, NOISY], cwd=tmp_path, timeout=60, check=False)
    assert done.returncode == 0
    assert (tmp_path / "result").read_text() == "False ''"


@pytest.mark.skipif(sys.platform == "win32", reason="the shell closes the streams")
def test_a_command_runs_without_standard_error(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "secondread", "recipes", "no-such-preset"]
    done = subprocess.run(
        ["sh", "-c", 'exec "$0" "$@" 2>&-', *command],
        cwd=tmp_path,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, b"")

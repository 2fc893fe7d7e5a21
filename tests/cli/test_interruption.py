"""Ctrl-C is one line and status 130, wherever a command is."""

from __future__ import annotations

import subprocess
import sys

import pytest

WHILE_PARSING = """
import typer.core
def interrupted(*given, **how):
    raise KeyboardInterrupt
typer.core.TyperCommand.parse_args = interrupted
"""
WHILE_IMPORTING = """
import sys
class Interrupted:
    def find_spec(self, name, path=None, target=None):
        if name == "typer":
            raise KeyboardInterrupt
sys.meta_path.insert(0, Interrupted())
"""
WITHIN = """
import secondread.recipes.recipe
def interrupted(*given, **how):
    raise KeyboardInterrupt
secondread.recipes.recipe.presets = interrupted
"""


@pytest.mark.parametrize("moment", [WHILE_PARSING, WHILE_IMPORTING, WITHIN])
def test_an_interruption_is_one_line_at_any_moment(moment: str) -> None:
    code = f"import sys\n{moment}\nsys.argv = ['secondread', 'recipes']\n"
    code += "from secondread.cli.main import main\nmain()\n"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 130
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("secondread: interrupted")

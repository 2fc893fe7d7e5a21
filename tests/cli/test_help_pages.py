"""What every help page obeys, so that a new command does too: walked over all commands that there are."""

import io
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import redirect_stdout
from functools import cache
from pathlib import Path
from unittest.mock import patch

import pytest
import typer

from secondread.cli.completion import recipe_names
from secondread.cli.main import app
from secondread.recipes.recipe import presets

WIDTH = 80
LONGEST_NAME = 10
"""Letters of a command's name for which a summary has to leave room."""


def leaves(
    group: typer.core.TyperGroup, *names: str
) -> Iterator[tuple[tuple[str, ...], typer.core.TyperCommand]]:
    """Every command under a group, by the words that run it."""
    for name, command in group.commands.items():
        if isinstance(command, typer.core.TyperGroup):
            yield from leaves(command, *names, name)
        else:
            yield (*names, name), command


GROUP = typer.main.get_command(app)
COMMANDS = dict(leaves(GROUP))
every_command = pytest.mark.parametrize("words", COMMANDS, ids="-".join)


@cache
def page(*words: str, option: str = "--help") -> str:
    printed = io.StringIO()
    with (
        patch.dict(os.environ, COLUMNS=str(WIDTH)),
        redirect_stdout(printed),
        pytest.raises(SystemExit) as end,
    ):
        GROUP.main([*words, option], prog_name="secondread")
    assert end.value.code == 0
    return printed.getvalue()


def options(words: tuple[str, ...]) -> dict[str, typer.core.TyperOption]:
    return {
        name: parameter
        for parameter in COMMANDS[words].params
        if isinstance(parameter, typer.core.TyperOption)
        for name in parameter.opts
    }


@every_command
def test_a_summary_is_one_sentence_that_stands_whole_on_one_line(words) -> None:
    summary = COMMANDS[words].short_help
    assert summary.endswith(".")
    assert ". " not in summary
    assert len(summary) <= WIDTH - 2 - (LONGEST_NAME + 2) - 2
    assert re.search(rf"^  {words[-1]} +{re.escape(summary)}$", page(*words[:-1]), flags=re.MULTILINE)


@every_command
def test_values_have_names_in_capitals_or_are_a_choice(words) -> None:
    shown = page(*words).partition("\nOptions:")[2]
    assert "<" not in shown
    for name, option in options(words).items():
        if name.startswith("--") and not option.is_flag:
            value = re.search(rf"^  (?:-\w, )?{name} (\S+)", shown, flags=re.MULTILINE)[1]
            assert value.isupper() or "|" in value, name


@every_command
def test_defaults_stand_in_one_bracket_after_the_sentence(words) -> None:
    for parameter in COMMANDS[words].params:
        text = parameter.help or ""
        assert text.endswith("."), parameter.name
        assert "[" not in text.replace("secondread[", ""), parameter.name
        assert "default" not in text.lower(), parameter.name
        assert "several times" not in text, parameter.name
    assert "default: (" not in page(*words)


@every_command
def test_h_is_help(words) -> None:
    assert page(*words, option="-h") == page(*words)


@every_command
def test_one_word_means_one_thing(words) -> None:
    """`-o` is the output and required where a command reads anything, `-q` leaves errors and the result,
    `--set` changes the recipe."""
    own = options(words)
    assert own["--verbose"].opts == ["--verbose", "-v"]
    assert own["--log-file"].metavar == "FILE"
    if (output := own.get("--output")) is not None:
        assert output.opts == ["--output", "-o"]
        assert output.required or words in {("demo",), ("check",), ("dataset",), ("threshold",)}
        assert "--quiet" in own
    if (quiet := own.get("--quiet")) is not None:
        assert quiet.opts == ["--quiet", "-q"]
        assert quiet.help == "Say only errors and the result's path."
    if (settings := own.get("--set")) is not None:
        assert "recipe" in settings.help
        assert settings.metavar == "KEY=VALUE"


def completed(line: str, folder: Path) -> list[str]:
    words = line.split(" ")
    done = subprocess.run(
        [sys.executable, "-m", "secondread"],
        cwd=folder,
        env={
            **os.environ,
            "COMP_WORDS": line,
            "COMP_CWORD": str(len(words) - 1),
            "_SECONDREAD_COMPLETE": "complete_bash",
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout.split()


def test_a_shell_completes_presets_and_recipe_files(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "padim-mine.yaml").write_text("")
    (tmp_path / "padim.txt").write_text("")
    assert completed("secondread fit padim", tmp_path) == [*recipe_names("padim"), "padim-mine.yaml"]
    monkeypatch.chdir(tmp_path)
    assert {preset.name for preset in presets()} < set(recipe_names(""))
    assert recipe_names("./pad") == ["./padim-mine.yaml"]
    assert recipe_names("nowhere/") == []


def test_module_runs_as_the_command_does() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "secondread", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("secondread ")

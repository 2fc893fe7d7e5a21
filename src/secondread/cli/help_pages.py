"""How every help page looks: names of values in capitals, defaults and limits in one bracket at the end."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any

import typer
from typer.core import TyperCommand

from secondread.cli.logs import logged

VALUES = {"path": "PATH", "int": "N", "float": "NUMBER", "str": "TEXT"}
"""What the value of an option is called whose `metavar` does not say more."""
OBVIOUS = re.compile(r"|x>=[01]|0<=x<=\d{10,}")
"""Limits that go without saying: of counts, and of seeds."""


class Command(TyperCommand):
    """A command whose page shows values as `-o, --output FOLDER` and arguments as `MANIFEST`."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        pieces = [self.options_metavar or ""]
        for parameter in self.params:
            if parameter.param_type_name == "argument" and not getattr(parameter, "hidden", False):
                name = argument_name(parameter)
                pieces.append(name if parameter.required else f"[{name}]")
        return pieces

    def format_options(self, ctx: Any, formatter: Any) -> None:
        rows: dict[str, list[tuple[str, str]]] = {"argument": [], "option": []}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is None:
                continue
            name, text = record
            if parameter.param_type_name == "argument":
                name = argument_name(parameter)
            notes = "repeatable" if getattr(parameter, "multiple", False) else ""
            rows[parameter.param_type_name].append((values_in_words(name), limits_in_words(text, notes)))
        for title, records in (("Arguments", rows["argument"]), ("Options", rows["option"])):
            if records:
                with formatter.section(title):
                    formatter.write_dl(records)


def argument_name(parameter: Any) -> str:
    """`MANIFEST`, or `INPUT...` where there may be several."""
    name = str(parameter.metavar or parameter.name.upper())
    return name if parameter.nargs == 1 or name.endswith("...") else f"{name}..."


def values_in_words(name: str) -> str:
    """An option with its value, as Typer shows it, with the value's name in capitals.

    >>> values_in_words("--jobs <int range>"), values_in_words("--as <volumes|images>")
    ('--jobs N', '--as volumes|images')
    """

    def word(found: re.Match[str]) -> str:
        kind = found[1].removeprefix("list[").removesuffix("]").removesuffix(" range")
        return VALUES.get(kind, kind)

    return re.sub(r"<(.+?)>", word, name)


def limits_in_words(text: str, notes: str = "") -> str:
    """The help of a parameter with what Typer adds in brackets in words, and `notes` among it.

    >>> limits_in_words("Resamples.  [default: 2000; x>=20]")
    'Resamples.  [default: 2000; at least 20]'
    """
    words, _, bracket = text.replace("  \\[", "  [").partition("  [")  # escaped by Typer before 0.20
    facts = [fact for fact in bracket.removesuffix("]").split("; ") if not OBVIOUS.fullmatch(fact)]
    facts = [re.sub(r"^default: \((.*)\)$", r"default: \1", fact) for fact in facts]
    facts = [re.sub(r"^x>=(.*)$", r"at least \1", fact) for fact in facts]
    facts = [re.sub(r"^x<=(.*)$", r"at most \1", fact) for fact in facts]
    facts = [re.sub(r"^(.*)<=x<=(.*)$", r"from \1 to \2", fact) for fact in facts]
    facts += [notes] if notes else []
    return f"{words}  [{'; '.join(facts)}]" if facts else words


def add_command(app: typer.Typer, command: Callable[..., Any]) -> None:
    """Make a function a command of `app`, with the options of a log: the first paragraph of its docstring is
    its line in the list."""
    summary = " ".join((inspect.getdoc(command) or "").split("\n\n")[0].split())
    app.command(cls=Command, short_help=summary)(logged(command))

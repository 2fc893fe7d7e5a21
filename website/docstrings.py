"""The house's docstrings as Markdown: columns of names and meanings become lists, examples become code."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import griffe

COLUMNS = re.compile(r"^(\S.*?) {2,}(\S.*)$")


def as_markdown(docstring: str) -> str:
    """The docstring, cleaned of its indentation, with its equations as the code blocks that they are."""
    return "\n\n".join(_block(lines) for lines in _blocks(docstring))


def _blocks(text: str) -> Iterator[list[str]]:
    """Paragraphs; an indented one goes on over empty lines, and so does an example."""
    for paragraph in re.split(r"\n\s*\n", text.strip("\n")):
        lines = paragraph.splitlines()
        if lines:
            yield lines


def _block(lines: list[str]) -> str:
    if lines[0].startswith(">>>"):
        return "\n".join(("```pycon", *lines, "```"))
    if all(line.startswith("    ") for line in lines):
        return "\n".join(lines)
    if COLUMNS.match(lines[0]):
        return _list(lines)
    if any(line.startswith("    ") for line in lines) and not lines[0].startswith(("- ", " ")):
        first = next(number for number, line in enumerate(lines) if line.startswith("    "))
        return _plain(lines[:first]) + "\n\n" + "\n".join(lines[first:])
    return _plain(lines)


def _list(lines: list[str]) -> str:
    """Names and meanings in two columns. A line that is indented goes on with the meaning before it."""
    entries: list[list[str]] = []
    for line in lines:
        named = None if line.startswith(" ") else COLUMNS.match(line)
        if named:
            names = ", ".join(f"`{name}`" for name in named[1].replace("`", "").split(", "))
            entries.append([f"- {names}: {_escaped(named[2])}"])
        else:
            entries[-1].append("  " + _escaped(line.strip()))
    return "\n".join(line for entry in entries for line in entry)


def _plain(lines: list[str]) -> str:
    return "\n".join(_escaped(line) for line in lines)


def _escaped(line: str) -> str:
    """What would be markup outside of code is shown as it is written."""
    parts = re.split(r"(`[^`]*`)", line)
    return "".join(part if part.startswith("`") else re.sub(r"([*_<>\[\]])", r"\\\1", part) for part in parts)


class HouseDocstrings(griffe.Extension):
    """Hands every docstring to the reference as Markdown."""

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        if obj.docstring is not None:
            obj.docstring.value = as_markdown(obj.docstring.value)

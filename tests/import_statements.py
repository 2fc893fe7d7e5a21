"""The imports of a file of Python, wherever they stand in it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

BLOCKS = ("body", "handlers", "orelse", "finalbody", "cases")
"""Where a statement holds others. Expressions, most of a tree, hold no import and are passed over."""


class ImportStatement(NamedTuple):
    """One statement, and whether it stands by itself at the top of its file."""

    node: ast.Import | ast.ImportFrom
    at_once: bool


@cache
def imports_of(file: Path) -> tuple[ImportStatement, ...]:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    return tuple(
        ImportStatement(node, node in tree.body)
        for node in _statements(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
    )


def _statements(node: ast.AST) -> Iterator[ast.AST]:
    for block in BLOCKS:
        for statement in getattr(node, block, ()):
            yield statement
            yield from _statements(statement)

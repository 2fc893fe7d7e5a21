"""Scripts that no test runs, since they take long, at least find what they ask of the package."""

from __future__ import annotations

import ast
import importlib
from pathlib import Path

import pytest

from import_statements import imports_of

HERE = Path(__file__).parents[1]
SCRIPTS = sorted(
    path for folder in ("benchmarks", "deploy", "website") for path in (HERE / folder).rglob("*.py")
)


def given_by(module: Path) -> set[str]:
    """Names that a file of Python has at its top."""
    found = set()
    for node in ast.parse(module.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            found |= {name.asname or name.name for name in node.names}
        else:
            found |= {name.id for name in ast.walk(node) if isinstance(name, ast.Name)}
    return found


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: str(path.relative_to(HERE)))
def test_what_a_script_imports_of_the_package_exists(script: Path) -> None:
    for node, _ in imports_of(script):
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "secondread":
            assert node.module is not None
            module = importlib.import_module(node.module)
            for name in node.names:
                if not hasattr(module, name.name):
                    importlib.import_module(f"{node.module}.{name.name}")


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: str(path.relative_to(HERE)))
def test_what_a_script_imports_of_the_one_beside_it_exists(script: Path) -> None:
    for node, _ in imports_of(script):
        if isinstance(node, ast.ImportFrom) and (beside := script.with_name(f"{node.module}.py")).is_file():
            assert {name.name for name in node.names} <= given_by(beside)

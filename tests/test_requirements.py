"""What the package asks for is what it imports; a message about an extra says a command that works."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from functools import cache
from importlib import metadata
from pathlib import Path

import pytest

from import_statements import imports_of
from secondread.wording.extras import _command, install_command

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]
PLUGINS = {"pylibjpeg", "pylibjpeg-openjpeg", "pylibjpeg-rle", "pyjpegls"}
"""Decoders that pydicom finds by itself."""
BESIDE = {"markupsafe": "jinja2", "starlette": "fastapi", "click": "typer", "pydantic-core": "pydantic"}
"""Packages that another one brings and hands on."""
OF_NOTEBOOKS = {"ipython"}
"""Imported only where it has been already, by the notebook that asks."""


def name_of(requirement: str) -> str:
    return re.split(r"[\[<>=~! ;]", requirement)[0].lower().replace("_", "-")


CORE = {name_of(requirement) for requirement in PROJECT["dependencies"]}
OPTIONAL = {name_of(one) for extra, wanted in EXTRAS.items() if extra != "dev" for one in wanted}


@cache
def imported() -> tuple[set[str], set[str]]:
    """Distributions that the source imports as it is imported itself, and in all. The service is imported by
    its command alone, which looks first whether its extra is there."""
    packages = metadata.packages_distributions()
    at_once, ever = set(), set()
    for file in (ROOT / "src").rglob("*.py"):
        for node, at_once_here in imports_of(file):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            else:
                names = [node.module or ""]
            tops = {name.split(".")[0] for name in names} - sys.stdlib_module_names - {"secondread"}
            found = {packages.get(top, [top])[0].lower().replace("_", "-") for top in tops}
            found = {BESIDE.get(name, name) for name in found}
            ever |= found
            if at_once_here and "service" not in file.relative_to(ROOT / "src/secondread").parts:
                at_once |= found
    return at_once, ever


def test_what_is_imported_at_once_is_required():
    assert imported()[0] <= CORE


def test_what_is_imported_when_somebody_asks_for_it_is_required_or_an_extra():
    assert imported()[1] <= CORE | OPTIONAL | OF_NOTEBOOKS


def test_nothing_is_required_that_is_not_imported():
    assert imported()[1] | PLUGINS >= CORE


@pytest.mark.parametrize(
    ("origin", "command"),
    [
        ({}, "pip install 'secondread[ray]'"),
        ({"url": "file:///home/a%20b", "dir_info": {}}, "pip install '/home/a b[ray]'"),
        ({"url": "file:///home/c", "dir_info": {"editable": True}}, "pip install -e '/home/c[ray]'"),
        (
            {"url": "file:///home/s.whl", "archive_info": {}},
            "pip install 'secondread[ray] @ file:///home/s.whl'",
        ),
        (
            {"url": "https://example.org/s.git", "vcs_info": {"vcs": "git"}},
            "pip install 'secondread[ray] @ git+https://example.org/s.git'",
        ),
    ],
)
def test_an_extra_is_installed_from_where_the_package_came(origin, command):
    assert _command("ray", origin) == command


def test_the_command_names_the_extra_of_this_installation():
    assert "[ray]" in install_command("ray")


def test_every_extra_that_a_message_names_exists():
    text = "\n".join(file.read_text(encoding="utf-8") for file in (ROOT / "src").rglob("*.py"))
    named = set(re.findall(r"install_command\(['\"]([\w-]+)['\"]\)", text))
    assert {"pandas", "ray", "transformers"} <= named
    assert named | set(re.findall(r"\bsecondread\[(\w+)\]", text)) <= EXTRAS.keys()

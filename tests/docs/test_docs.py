"""What README and docs show is true of the code: commands, options, presets, settings, links."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import typer
import yaml
from presets_table import LISTS, within_marks

from secondread.cli.main import app
from secondread.detectors import find
from secondread.recipes.recipe import Recipe, presets

ROOT = Path(__file__).resolve().parents[2]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
NAMES = {preset.name for preset in presets()}
COMMANDS = typer.main.get_command(app).commands


def leaves(commands):
    """The commands, and those of groups such as `bundle`."""
    for command in commands.values():
        group = getattr(command, "commands", None)
        yield from [command] if group is None else leaves(group)


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)


def shown_commands() -> list[tuple[str, str]]:
    """Every line of a shell block that runs `secondread`, continuation lines joined."""
    found = []
    for page in PAGES:
        for block in blocks(page.read_text(encoding="utf-8"), "sh"):
            for line in block.replace("\\\n", " ").splitlines():
                words = shlex.split(line, comments=True)
                if "secondread" in words:
                    found.append((page.name, shlex.join(words[words.index("secondread") + 1 :])))
    return found


SHOWN = shown_commands()


def arguments(line: str) -> tuple[str, list[str]]:
    name, *rest = shlex.split(line)
    return name, rest[: rest.index(">")] if ">" in rest else rest


@pytest.mark.parametrize(("page", "line"), SHOWN)
def test_a_command_that_is_shown_can_be_run_as_it_stands(page: str, line: str) -> None:
    name, rest = arguments(line)
    assert name in COMMANDS
    command = COMMANDS[name]
    while hasattr(command, "commands"):
        name, *rest = rest
        command = command.commands[name]
    command.make_context(name, rest)


@pytest.mark.parametrize(
    ("page", "line"), [shown for shown in SHOWN if shown[1].startswith(("fit ", "recipes "))]
)
def test_recipes_and_settings_that_are_shown_exist(page: str, line: str) -> None:
    name, rest = arguments(line)
    given = COMMANDS[name].make_context(name, rest).params
    chosen = given.get("recipe") or given.get("name")
    if chosen is None or chosen.endswith(".yaml"):
        return
    recipe = Recipe.load(chosen, set=list(given["settings"] or ()))
    find(recipe.detector["name"]).Settings.model_validate(recipe.detector)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_and_options_named_in_the_text_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    known = {
        option for command in leaves(COMMANDS) for parameter in command.params for option in parameter.opts
    }
    for code in re.findall(r"`([^`\n]+)`", text):
        words = code.split()
        if words[0] == "secondread" and len(words) > 1 and not words[1].startswith("-"):
            assert words[1] in COMMANDS, code
        if words[0].startswith("--"):
            assert words[0] in known, code
        if len(words) > 1 and words[0] in COMMANDS and words[1].startswith("--"):
            own = {
                option
                for command in leaves({words[0]: COMMANDS[words[0]]})
                for parameter in command.params
                for option in parameter.opts
            }
            assert words[1] in own, code


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_presets_that_are_named_exist(page: Path) -> None:
    named = set(re.findall(r"`(aeflow(?:-\w+)?|padim|pixel-\w+|mean-\w+)`", page.read_text(encoding="utf-8")))
    assert named <= NAMES


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_recipes_that_are_shown_are_valid(page: Path) -> None:
    for block in blocks(page.read_text(encoding="utf-8"), "yaml"):
        recipe = Recipe.from_mapping(yaml.safe_load(block))
        if page.name != "adding-a-method.md":  # whose own methods its own test fits
            find(recipe.detector["name"]).Settings.model_validate(recipe.detector)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_within_the_repository_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if re.match(r"\w+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = page.parent / path if path else page
        assert file.exists(), target
        if anchor:
            assert anchor in anchors(file), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_of_the_repository_that_are_named_exist(page: Path) -> None:
    """By a path from the top, or from the package's; words in capitals and `my_` stand for a reader's own."""
    text = page.read_text(encoding="utf-8")
    named = re.findall(r"\b(?:src|tests|benchmarks|docs)/[\w./-]*[\w/]", text)
    named += re.findall(r"`([a-z]\w*/[\w/]*\.py)`", text)
    named = [path for path in named if not re.search(r"\b(my_|[A-Z]+\b(?!\.))", path)]
    places = (ROOT, ROOT / "src" / "secondread")
    assert [path for path in named if not any((place / path).exists() for place in places)] == []


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as forges make them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_readme_says_what_it_must() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for words in ("research use, not a medical device", "make demo", "make test", "pip install", ".png"):
        assert words in text


@pytest.mark.parametrize("page", LISTS, ids=lambda page: page.name)
def test_the_lists_of_methods_are_those_of_the_presets(page: Path) -> None:
    assert within_marks(page.read_text(encoding="utf-8")) == LISTS[page](), "run `make methods`"

"""What every page is made with: this room's own files, and a template environment that knows its words."""

from __future__ import annotations

import re
from importlib import resources

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup, escape

from secondread.wording import numbers


def environment() -> Environment:
    """Escapes what it is given, and refuses names that it is not given."""
    found = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    for name in (
        "number",
        "significant",
        "percent",
        "span",
        "percent_span",
        "signed",
        "count",
        "plain",
        "p_value",
    ):
        found.filters[name] = getattr(numbers, name)
    found.filters["titled"] = titled
    found.filters["file_name"] = lambda path: path.rsplit("/", 1)[-1]
    return found


def titled(svg: str, title: str) -> Markup:
    """An inline figure that says what it is to whoever cannot see it."""
    svg = re.sub(r"<title>.*?</title>", "", svg, count=1, flags=re.DOTALL)
    return Markup(re.sub(r"<svg([^>]*)>", rf'<svg\1 role="img"><title>{escape(title)}</title>', svg, count=1))


def own_file(name: str) -> str:
    """The text of a file that ships with this room."""
    return resources.files("secondread.reports").joinpath("pages", name).read_text(encoding="utf-8")

"""What every page is made with: this room's own files, and a template environment that knows its words."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup, escape

from secondread.outputs.whole import write_whole
from secondread.version import __version__
from secondread.wording import numbers


@cache
def environment() -> Environment:
    """Escapes what it is given, and refuses names that it is not given. Made once: it keeps the templates
    that it has compiled, which takes as long as a figure."""
    found = Environment(
        loader=FunctionLoader(own_file),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
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


def page(template: str, **values: Any) -> str:
    """A whole page of one of this room's templates, which know besides what every page has: the style `css`,
    when it was `made`, and the `version`."""
    return (
        environment()
        .get_template(template)
        .render(
            css=Markup(own_file("page.css")),
            made=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
            version=__version__,
            **values,
        )
    )


def write_report_page(folder: Path, template: str, **values: Any) -> Path:
    """The page as `report.html` in the folder; returns where it is."""
    report = folder / "report.html"
    write_whole(report, page(template, **values).encode())
    return report


def titled(svg: str, title: str) -> Markup:
    """An inline figure that says what it is to whoever cannot see it."""
    svg = re.sub(r"<title>.*?</title>", "", svg, count=1, flags=re.DOTALL)
    return Markup(re.sub(r"<svg([^>]*)>", rf'<svg\1 role="img"><title>{escape(title)}</title>', svg, count=1))


def own_file(name: str) -> str:
    """The text of a file that ships with this room."""
    return resources.files("secondread.reports").joinpath("pages", name).read_text(encoding="utf-8")

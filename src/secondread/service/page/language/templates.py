"""Pages from their templates, in a language. Everything that is put into one is escaped."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from secondread.service.page.language.languages import LANGUAGES, translations
from secondread.service.page.language.wording import Wording

TEMPLATES = Path(__file__).parents[1] / "templates"


@cache
def environment(language: str) -> Environment:
    """The templates in one language. Messages are escaped like everything else, since what is translated may
    come from elsewhere; values are put into them by `trans` alone."""
    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        extensions=["jinja2.ext.i18n"],
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.policies["ext.i18n.trimmed"] = True
    catalogue = translations(language)
    made.install_gettext_callables(catalogue.gettext, catalogue.ngettext, newstyle=False)  # type: ignore[attr-defined]
    made.globals |= {"language": language, "languages": LANGUAGES, "say": Wording(language)}
    return made


def render(name: str, language: str, **facts: Any) -> str:
    """A page as HTML. A template takes a `visitor` (None before somebody has logged in) and what it names."""
    return environment(language).get_template(name).render(now=datetime.now(UTC), **facts)

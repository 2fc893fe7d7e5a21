"""The languages of the page: messages by gettext, and which language a request is answered in.

Texts stand in the source in English. The catalogue of another language is its `messages.po` under
`page/locale`, which is read as it is at the first use, so that nothing has to be compiled.
"""

from __future__ import annotations

from functools import cache
from io import BytesIO
from pathlib import Path

from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.support import NullTranslations, Translations

LOCALE = Path(__file__).parents[1] / "locale"
LANGUAGES = {"en": "English", "de": "Deutsch"}
"""By their codes, each called as its speakers call it."""
COOKIE = "language"
"""Holds what somebody chose who has not logged in."""


@cache
def translations(language: str) -> NullTranslations:
    """The catalogue of a language; of English the texts themselves."""
    if language == "en":
        return NullTranslations()
    with (LOCALE / language / "LC_MESSAGES" / "messages.po").open("rb") as file:
        catalogue = read_po(file, locale=language)
    compiled = BytesIO()
    write_mo(compiled, catalogue)
    compiled.seek(0)
    return Translations(compiled)


def translate(language: str, text: str) -> str:
    return str(translations(language).gettext(text))


def marked(text: str) -> str:
    """The text itself: it is translated where it is shown, and stands in the catalogue because of this
    call."""
    return text


def chosen_language(person: str, cookie: str, accepted: str, otherwise: str) -> str:
    """The language of an answer: the person's choice, the browser's cookie, the best of its
    `Accept-Language` (RFC 9110, 12.5.4) that there is, or `otherwise`."""
    for choice in (person, cookie):
        if choice in LANGUAGES:
            return choice
    return next((code for code in _preferred(accepted) if code in LANGUAGES), otherwise)


def _preferred(accepted: str) -> list[str]:
    """Primary tags of an Accept-Language header, the most wanted first; what is no such header is empty."""
    found: list[tuple[float, str]] = []
    for part in accepted[:1000].split(","):
        tag, _, parameters = part.strip().partition(";")
        name, _, quality = parameters.strip().partition("=")
        try:
            weight = float(quality) if name.strip() == "q" else 1.0
        except ValueError:
            continue
        if weight > 0:
            found.append((weight, tag.strip().lower().split("-")[0]))
    return [tag for _, tag in sorted(found, key=lambda one: -one[0])]

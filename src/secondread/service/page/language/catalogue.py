"""The messages of the page, gathered from templates and source; run as a module, this brings each language's
`messages.po` up to date: new ones come untranslated, those that no page says any more go."""

from __future__ import annotations

from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po, write_po

from secondread.service.page.language.languages import LANGUAGES, LOCALE

PAGE = Path(__file__).parents[1]
CREATED = datetime(2026, 1, 1, tzinfo=UTC)
"""In every catalogue's header, so that a file changes with its messages alone."""


def gather() -> Catalog:
    """Every message that a template or a call of `_`, `translate` or `marked` says."""
    found = Catalog(charset="utf-8")
    extracted = extract_from_dir(
        PAGE,
        method_map=[("templates/**.html", "jinja2"), ("**.py", "python")],
        options_map={
            "templates/**.html": {"trimmed": "true", "trim_blocks": "true", "lstrip_blocks": "true"}
        },
        keywords={"_": None, "gettext": None, "ngettext": (1, 2), "marked": None},
    )
    for _file, _line, message, _comments, context in extracted:
        found.add(message, context=context)
    return found


def catalogue(language: str) -> Catalog:
    file = LOCALE / language / "LC_MESSAGES" / "messages.po"
    return read_po(BytesIO(file.read_bytes()) if file.exists() else BytesIO(b""), locale=language)


def update(language: str) -> None:
    known = catalogue(language)
    wanted = gather()
    made = Catalog(
        locale=language, charset="utf-8", project="secondread", version="0", fuzzy=False,
        header_comment=f"# The page of the service in {LANGUAGES[language]}.",
        creation_date=CREATED, revision_date=CREATED, last_translator="", language_team="",
    )  # fmt: skip
    for message in sorted((one for one in wanted if one.id), key=lambda one: str(one.id)):
        before = known.get(message.id)
        made.add(message.id, before.string if before else "", flags=message.flags - {"fuzzy"})
    file = LOCALE / language / "LC_MESSAGES" / "messages.po"
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("wb") as out:
        write_po(out, made, no_location=True, omit_header=False, width=110)


if __name__ == "__main__":
    for code in LANGUAGES:
        if code != "en":
            update(code)

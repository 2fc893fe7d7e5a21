"""Two languages: every text of a template is marked and translated, numbers and dates are the language's."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser

import pytest
from babel.messages.checkers import checkers

from secondread.service.page.language.catalogue import catalogue, gather
from secondread.service.page.language.languages import LANGUAGES, chosen_language, translate
from secondread.service.page.language.templates import TEMPLATES, render
from secondread.service.page.language.wording import Wording

OTHERS = [code for code in LANGUAGES if code != "en"]
SAID_BY = {"aria-label", "title", "alt", "placeholder", "aria-description"}


class Texts(HTMLParser):
    """What a person reads or hears in a piece of HTML; what says `translate="no"` is a name."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.skipped: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.found += [value or "" for name, value in attrs if name in SAID_BY or name.startswith("data-say")]
        if self.skipped or given.get("translate") == "no" or tag in ("style", "kbd"):
            self.skipped.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if self.skipped:
            self.skipped.pop()

    def handle_data(self, data: str) -> None:
        if not self.skipped:
            self.found.append(data)


@pytest.mark.parametrize("template", sorted(TEMPLATES.glob("*.html")), ids=lambda path: path.name)
def test_every_text_of_a_template_is_marked(template):
    source = template.read_text(encoding="utf-8")
    source = re.sub(
        r"{#.*?#}|{%-?\s*trans\b.*?endtrans\s*-?%}|{% block kind %}.*?endblock %}", "", source, flags=re.S
    )
    source = re.sub(r"{{.*?}}|{%.*?%}", "", source, flags=re.S)
    texts = Texts()
    texts.feed(source)
    unmarked = [text.strip() for text in texts.found if re.search(r"[^\W\d_]{2,}", text)]
    assert [text for text in unmarked if text != "– secondread"] == []


@pytest.mark.parametrize("language", OTHERS)
def test_every_message_is_translated_and_no_other_is_kept(language):
    wanted = {message.id for message in gather() if message.id}
    known = {message.id: message for message in catalogue(language) if message.id}
    assert wanted, "no message was gathered"
    assert known.keys() == wanted, "run `python -m secondread.service.page.language.catalogue`, and translate"
    for message in known.values():
        strings = message.string if isinstance(message.string, tuple) else (message.string,)
        assert all(strings), message.id
        assert not message.fuzzy
        for check in checkers:
            check(catalogue(language), message)
        of = message.id if isinstance(message.id, tuple) else (message.id,)
        for text in strings:
            assert set(re.findall(r"%\((\w+)\)", text)) <= set(re.findall(r"%\((\w+)\)", "".join(of)))


def test_a_person_s_choice_comes_before_the_browser_s():
    assert chosen_language("de", "en", "en", "en") == "de"
    assert chosen_language("", "de", "en", "en") == "de"
    assert chosen_language("", "", "fr, de-AT;q=0.8, en;q=0.4", "en") == "de"
    assert chosen_language("", "xx", "fr;q=1, it", "de") == "de"
    assert chosen_language("", "", "de;q=0, en;q=bad, ;;,", "en") == "en"


def test_numbers_dates_and_ages_are_written_as_the_language_does():
    english, german = Wording("en"), Wording("de")
    assert [english.number(1234.5), german.number(1234.5)] == ["1,234", "1.234"]
    assert [english.number(0.0123), german.number(0.0123)] == ["0.0123", "0,0123"]
    assert [english.percent(0.05), german.percent(0.125)] == ["5%", "12\u00a0%"]
    assert [english.day("20240501"), german.day("20240501")] == ["1 May 2024", "01.05.2024"]
    assert english.day("2024") == "2024"
    at = datetime(2026, 3, 4, 17, 6, tzinfo=UTC)
    assert german.moment(at).startswith("04.03.2026")
    assert german.ago(at, at + timedelta(hours=3)) == "vor 3 Stunden"
    assert english.number(float("nan")) == german.number(None) == "–"


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_is_put_into_a_page_is_escaped(language):
    page = render("message.html", language, visitor=None, title="<b>", text="<script>alert(1)</script>")
    assert f'<html lang="{language}">' in page
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
    assert translate("de", "Worklist") == "Arbeitsliste"


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("Doe^Jane", "Doe, Jane"), ("Doe^Jane^Ann^^Dr", "Doe, Jane Ann Dr"), ("Doe^^^^", "Doe"),
        ("^Jane", "Jane"),
        ("Yamada^Tarou=山田^太郎=やまだ^たろう", "Yamada, Tarou (山田, 太郎, やまだ, たろう)"),
        ("=山田^太郎", "山田, 太郎"), ("Doe^Jane==", "Doe, Jane"), ("", ""), ("^=^", ""),
    ],
)  # fmt: skip
def test_a_name_is_shown_in_all_its_scripts(written, shown):
    assert Wording("en").person(written) == shown

"""The page in a real browser: looked through, filtered, judged and changed, in two languages, by keys, with
no request elsewhere; and by axe, which finds nothing to mend."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browsing import CHROMIUM, QUIET, Seen, missing, serving
from made_page import password_of
from made_viewing import Viewing, made_viewing
from sqlalchemy import select

from secondread.service.store.alarms import open_alarm
from secondread.service.store.tables import ThresholdChange, Verdict

pytestmark = pytest.mark.skipif(bool(missing()), reason=missing())
TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


@pytest.fixture(scope="module")  # while it is there, no other event loop can run in this thread
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=CHROMIUM, args=list(QUIET))
        yield found
        found.close()


@pytest.fixture(scope="module")
def viewing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Viewing]:
    found = made_viewing(tmp_path_factory.mktemp("viewing"))
    yield found
    found.page.database.close()


@pytest.fixture(scope="module")
def address(viewing: Viewing) -> Iterator[str]:
    with serving(viewing.page.app) as found:
        yield found


@pytest.fixture
def tab(browser: Any, address: str) -> Iterator[Any]:
    """An administrator's browser; at its end it has asked nobody else and complained of nothing."""
    context = browser.new_context(base_url=address, viewport={"width": 1280, "height": 800}, locale="en-GB")
    context.set_default_timeout(60_000)
    seen = Seen()
    seen.watch(context)
    page = context.new_page()
    log_in(page, "administrator")
    yield page
    context.close()
    assert seen.elsewhere == []
    assert seen.complaints == []


def log_in(page: Any, name: str) -> None:
    page.goto("/studies")
    page.fill("[name=name]", name)
    page.fill("[name=password]", password_of(name))
    page.click("main button.main")
    page.wait_for_selector("table.studies")
    page.wait_for_load_state()  # the table is there before the keys are


@pytest.mark.slow
def test_a_study_is_found_opened_looked_at_and_disagreed_with(tab: Any, viewing: Viewing) -> None:
    tab.select_option("[name=modality]", "DX")
    tab.click("form.filter button.main")
    tab.wait_for_url("**modality=DX")
    assert tab.locator("tr[data-study]").count() == len(viewing.films)
    tab.keyboard.press("/")
    tab.keyboard.type("birke")
    tab.keyboard.press("Enter")
    tab.wait_for_url("**q=*")
    assert "birke" not in tab.url.lower()
    assert tab.locator("tr[data-study] .who").all_inner_texts() == ["Birke, Ben"]
    tab.keyboard.press("j")
    assert tab.locator("tr.current").count() == 1
    tab.keyboard.press("?")
    assert tab.locator("dialog[open]").count() == 1
    tab.keyboard.press("Escape")
    tab.keyboard.press("j")
    tab.keyboard.press("Enter")
    tab.wait_for_selector("[data-ready=film]")
    assert tab.locator("table.images tbody tr").count() == 2
    scores = [float(text) for text in tab.locator("table.images tbody td:nth-child(3)").all_inner_texts()]
    assert scores == sorted(scores, reverse=True)

    before = picture_of(tab)
    tab.locator("[name=width]").fill("1000")
    windowed = picture_of(tab)
    assert windowed != before
    tab.locator("[name=opacity]").fill("0")
    assert picture_of(tab) != windowed
    tab.keyboard.press("i")
    assert tab.get_attribute("[name=invert]", "aria-pressed") == "true"
    tab.locator("#stage").focus()
    larger = picture_of(tab)
    tab.keyboard.press("+")
    assert picture_of(tab) != larger
    moved = picture_of(tab)
    box = tab.locator("#stage").bounding_box()
    tab.mouse.move(box["x"] + 200, box["y"] + 200)
    tab.mouse.down()
    tab.mouse.move(box["x"] + 260, box["y"] + 240)
    tab.mouse.up()
    assert picture_of(tab) != moved

    tab.click("#compare")
    tab.wait_for_selector("#compared .own")
    assert tab.locator("#compared li").count() > 3
    tab.fill("[name=comment]", "an old scar")
    tab.click("button[value=disagree]")
    tab.wait_for_selector("text=an old scar")
    with viewing.page.database.read() as session:
        verdict = session.scalars(select(Verdict).order_by(Verdict.id.desc())).first()
        assert verdict is not None
        assert (verdict.person, verdict.agrees, verdict.comment) == ("administrator", False, "an old scar")
        assert verdict.reading_id is not None
    tab.wait_for_load_state()  # the text is there before the keys are
    tab.keyboard.press("u")
    tab.wait_for_selector("table.studies .badge.disagree")


def picture_of(tab: Any) -> bytes:
    tab.wait_for_timeout(150)
    found: bytes = tab.locator("#stage").screenshot()
    return found


def test_a_volume_is_scrolled_through_with_its_map(tab: Any, viewing: Viewing) -> None:
    tab.goto(f"/studies/{viewing.heads[0]}")
    tab.wait_for_selector("[data-ready=volume]")
    tab.locator("[name=slice]").fill("5")
    middle = picture_of(tab)
    assert tab.inner_text("output[for=slice]") == "6 / 16"
    tab.locator("#stage").focus()
    tab.keyboard.press("ArrowUp")
    assert tab.inner_text("output[for=slice]") == "7 / 16"
    assert picture_of(tab) != middle
    mapped = picture_of(tab)
    tab.keyboard.press("m")
    assert picture_of(tab) != mapped
    tab.select_option("[name=plane]", "coronal")
    assert re.fullmatch(r"\d+ / 48", tab.inner_text("output[for=slice]"))


def test_a_verdict_is_given_in_the_list_by_a_key_and_the_place_is_kept(tab: Any, viewing: Viewing) -> None:
    tab.keyboard.press("j")
    tab.keyboard.press("j")
    chosen = tab.get_attribute("tr.current", "data-study")
    tab.keyboard.press("a")
    tab.wait_for_selector(f"tr[data-study='{chosen}'].current .badge.agree")
    assert tab.evaluate("document.activeElement.closest('tr')?.dataset.study") == chosen
    with viewing.page.database.read() as session:
        last = session.scalars(select(Verdict).order_by(Verdict.id.desc())).first()
        assert last is not None
        assert (str(last.study_id), last.agrees) == (chosen, True)


def test_a_threshold_is_changed_and_the_page_speaks_german(tab: Any, viewing: Viewing) -> None:
    tab.click("header button[value=de]")
    tab.wait_for_selector("html[lang=de]")
    tab.goto("/thresholds")
    form = tab.locator("form.fields").first
    form.locator("[name=percent]").fill("0,001")
    form.locator("button").click()
    assert "nothing would be flagged" in tab.inner_text("[role=alert]")
    form = tab.locator("form.fields").first
    form.locator("[name=percent]").fill("12,5")
    form.locator("[name=comment]").fill("zu viele Alarme")
    form.locator("button").click()
    tab.wait_for_selector(".done")
    assert "12 %" in tab.inner_text("tr.current >> nth=0").replace("\u00a0", " ")
    assert "zu viele Alarme" in tab.inner_text("main")
    with viewing.page.database.read() as session:
        (change,) = session.scalars(select(ThresholdChange)).all()
        assert (change.bundle, change.false_alarm_rate, change.person) == ("chest", 0.125, "administrator")
    tab.click("header button[value=en]")
    tab.wait_for_selector("html[lang=en]")


@pytest.mark.slow
def test_axe_finds_nothing_in_either_language_light_or_dark_and_on_a_phone(
    tab: Any, viewing: Viewing
) -> None:
    import axe_playwright_python

    tab.add_init_script(path=Path(axe_playwright_python.__file__).parent / "axe.min.js")
    with viewing.page.database.write() as session:
        open_alarm(session, "drift", "chest", "Scores have drifted.", "Recalibrate the bundle.")
    places = [
        *(
            "/studies",
            "/studies?view=trouble",
            "/wall",
            "/thresholds",
            "/account",
            "/people",
            "/audit",
            "/nowhere",
        ),
        *(f"/studies/{one}" for one in (viewing.films[-1], viewing.heads[0], viewing.nobody)),
    ]
    found = []
    for language in ("en", "de"):
        tab.goto("/studies")
        if tab.get_attribute("html", "lang") != language:
            tab.click(f"header button[value={language}]")
            tab.wait_for_selector(f"html[lang={language}]")
        for place in places:
            tab.goto(place)
            found += [(language, place, *one) for one in faults(tab)]
    tab.emulate_media(color_scheme="dark")
    tab.set_viewport_size({"width": 320, "height": 640})
    for place in places:
        tab.goto(place)
        wide = tab.evaluate("document.documentElement.scrollWidth")
        found += [] if wide <= 320 else [("dark, 320 px", place, wide)]
        found += [("dark, 320 px", place, *one) for one in faults(tab)]
    assert found == []


@pytest.mark.slow
def test_axe_finds_nothing_beside_a_film(tab: Any, viewing: Viewing) -> None:
    """The short form of the tour above: the page that has the most on it."""
    import axe_playwright_python

    tab.add_init_script(path=Path(axe_playwright_python.__file__).parent / "axe.min.js")
    tab.goto(f"/studies/{viewing.films[-1]}")
    assert faults(tab) == []


def faults(tab: Any) -> list[tuple[str, str]]:
    """What axe complains of: rule and place."""
    answer = tab.evaluate("tags => axe.run({runOnly: {type: 'tag', values: tags}})", TAGS)
    return [(one["id"], one["nodes"][0]["html"][:200]) for one in answer["violations"]]


def test_the_list_works_without_script(browser: Any, address: str) -> None:
    context = browser.new_context(base_url=address, java_script_enabled=False)
    page = context.new_page()
    log_in(page, "viewer")
    page.select_option("[name=modality]", "CT")
    page.click("form.filter button.main")
    assert page.locator("tr[data-study]").count() == 1
    page.click("tr[data-study] th a")
    page.locator("#fallback").wait_for(state="visible")  # a picture has no size until it is there
    assert not page.locator("#controls").is_visible()
    page.click("#compare")
    assert page.locator(".normals li").count() > 3
    context.close()

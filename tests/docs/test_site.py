"""The site that `make docs` builds: whole, without dead links, and without a request to anywhere."""

from __future__ import annotations

import json
import re
from html import unescape
from pathlib import Path

import pytest

from secondread.detectors import DETECTORS
from secondread.recipes.recipe import presets

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[2]
LOADED = re.compile(r"<(?:script|img|link|iframe|source)\b[^>]*\b(?:src|href)=\"((?:https?:)?//[^\"]*)\"")
FETCHED = re.compile(r"@import|url\(\s*['\"]?(?:https?:)?//")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built in strict mode: a dead link, a dead anchor or a page that is in no menu ends it."""
    from mkdocs.commands.build import build
    from mkdocs.config import load_config

    folder = tmp_path_factory.mktemp("site")
    build(load_config(str(ROOT / "mkdocs.yml"), site_dir=str(folder)))
    return folder


def words_of(page: Path) -> str:
    return unescape(re.sub(r"<[^>]+>", "", page.read_text(encoding="utf-8")))


def test_no_page_loads_anything_from_elsewhere(site):
    pages = list(site.rglob("*.html"))
    assert len(pages) > 100
    assert {url for page in pages for url in LOADED.findall(page.read_text(encoding="utf-8"))} == set()
    styles = [page for page in site.rglob("*.css") if FETCHED.search(page.read_text(encoding="utf-8"))]
    assert styles == []


def test_every_detector_has_a_page_with_its_equations_presets_and_differences(site):
    assert {page.stem for page in (site / "detectors").glob("*.html")} == set(DETECTORS)
    shown = words_of(site / "detectors" / "padim.html")
    assert "sqrt((f_p - m_p)^T C_p^-1 (f_p - m_p))" in shown
    for preset in presets():
        if preset.name.startswith("padim"):
            assert preset.about.paper in shown
            assert all(" ".join(one.split()) in shown for one in preset.about.differences)


def test_every_preset_of_the_table_links_to_its_page(site):
    table = (site / "presets.html").read_text(encoding="utf-8")
    linked = dict(re.findall(r'<a href="(detectors/[^"]+)"><code>([\w-]+)</code>', table))
    assert set(linked.values()) == {preset.name for preset in presets()}


def test_every_name_of_the_front_door_is_in_the_reference(site):
    import secondread

    text = "".join(page.read_text(encoding="utf-8") for page in (site / "reference").glob("*.html"))
    named = set(re.findall(r'<h2 id="secondread\.[\w.]*?(\w+)"', text))
    assert set(secondread.__all__) - {"__version__"} <= named


def test_the_search_works_on_files(site):
    """Its index is a script, and its worker runs where a browser starts none."""
    entries = json.loads((site / "search" / "search_index.json").read_text(encoding="utf-8"))["docs"]
    assert any(entry["location"].startswith("detectors/padim.html") for entry in entries)
    assert (site / "search" / "search_index.js").is_file()
    assert 'src="search/iframe-worker.js"' in (site / "index.html").read_text(encoding="utf-8")
    assert (site / "search" / "iframe-worker.js").is_file()

"""What every page obeys, so that it can be read by whoever does not see it, on a phone, and by others than
its maker: looked for in the HTML that tests write anyway."""

import re
from html.parser import HTMLParser
from itertools import pairwise

EMPTY = {"img", "br", "meta", "input", "link", "hr"}


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None], tuple[str, ...]]] = []
        self.open: list[str] = []
        self.texts: dict[str, str] = {}
        self.titled = 0

    def handle_starttag(self, tag, attrs) -> None:
        self.elements.append((tag, dict(attrs), tuple(self.open)))
        if tag == "title" and self.open and self.open[-1] == "svg":
            self.titled += 1
        if tag not in EMPTY:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs) -> None:
        self.elements.append((tag, dict(attrs), tuple(self.open)))

    def handle_endtag(self, tag) -> None:
        while self.open and self.open.pop() != tag:
            pass

    def handle_data(self, data) -> None:
        if self.open:
            self.texts[self.open[-1]] = self.texts.get(self.open[-1], "") + data


def faults(html: str) -> list[str]:
    """What a page breaks; an empty list where it obeys."""
    page = _Page()
    page.feed(html)
    by_tag: dict[str, list[dict[str, str | None]]] = {}
    for tag, attributes, _ in page.elements:
        by_tag.setdefault(tag, []).append(attributes)
    found = []
    if by_tag["html"][0].get("lang") != "en":
        found.append("no language")
    if not any(meta.get("name") == "viewport" for meta in by_tag["meta"]):
        found.append("no viewport")
    if len(by_tag["h1"]) != 1:
        found.append("not one first heading")
    levels = [int(tag[1]) for tag, _, _ in page.elements if re.fullmatch(r"h[1-6]", tag)]
    if any(after > before + 1 for before, after in pairwise(levels)):
        found.append(f"headings leave out a level: {levels}")
    found += [f"a picture without words: {img}" for img in by_tag.get("img", []) if not img.get("alt")]
    found += [f"a head of a table without scope: {th}" for th in by_tag.get("th", []) if not th.get("scope")]
    if page.titled != len(by_tag.get("svg", [])):
        found.append(f"{len(by_tag['svg'])} figures, {page.titled} titles")
    found += ["a figure that is no image" for svg in by_tag.get("svg", []) if svg.get("role") != "img"]
    for tag, attributes, around in page.elements:
        if attributes.get("class") == "scroll" and attributes.get("tabindex") != "0":
            found.append("a part that scrolls and cannot be reached by keys")
        if tag == "table" and "card" not in (attributes.get("class") or "") and around[-1] != "div":
            found.append("a table that cannot scroll")
    ids = [attributes["id"] for _, attributes, _ in page.elements if attributes.get("id")]
    found += [f"the id {name} twice" for name in {name for name in ids if ids.count(name) > 1}]
    command = page.texts.get("code", "")
    if re.search(r"(^|[\s='\"])/\w", command):
        found.append(f"a place on a machine: {command}")
    found += [f"joined sentences: {text}" for text in re.findall(r".{20}\w{3}\., [A-Z].{8}", html)]
    return found

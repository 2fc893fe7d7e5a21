"""What MkDocs does not do by itself: pages that are made, the menu's lists, links that leave docs/."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import method_pages
import notebooks
import reference
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
TAKEN = {
    "README.md": "index.md",
    "CHANGELOG.md": "changes.md",
    "CONTRIBUTING.md": "contributing.md",
    "CITATION.cff": "citation.md",
}
"""Files of the repository's top that are pages of the site."""
WORKER = "iframe-worker.js"


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    config.mdx_configs["toc"]["slugify"] = method_pages.anchor
    config.nav = _filled(config.nav)
    return config


def _filled(entries: list[Any]) -> list[Any]:
    """The menu with patterns and the lists of made pages written out."""
    found: list[Any] = []
    for entry in entries:
        if isinstance(entry, str) and "*" in entry:
            found += sorted(str(file.relative_to(DOCS)) for file in DOCS.glob(entry))
        elif isinstance(entry, dict):
            ((title, below),) = entry.items()
            if title == "One page each":
                below = [
                    {family: [method_pages.address(name) for name in names]}
                    for family, names in method_pages.by_family().items()
                ]
            elif title == "Python":
                below = [*below, *map(reference.address, reference.pages())]
            elif isinstance(below, list):
                below = _filled(below)
            found.append({title: below})
        else:
            found.append(entry)
    return found


def on_files(files: Files, config: MkDocsConfig) -> Files:
    written = {
        str(file.relative_to(DOCS)): file.read_text(encoding="utf-8") for file in sorted(DOCS.rglob("*.md"))
    }
    made = {
        method_pages.address(name): method_pages.page(name, written) for name in method_pages.presets_of()
    }
    made |= {reference.address(title): text for title, text in reference.pages().items()}
    made |= {page: _taken(name) for name, page in TAKEN.items()}
    made[f"search/{WORKER}"] = (ROOT / "website" / WORKER).read_text(encoding="utf-8")
    made |= {
        f"notebooks/{file.stem}.md": notebooks.page(file) for file in (DOCS / "notebooks").glob("*.ipynb")
    }
    for place, text in made.items():
        files.append(File.generated(config, place, content=text))
    return files


def _taken(name: str) -> str:
    text = (ROOT / name).read_text(encoding="utf-8")
    if name == "CITATION.cff":
        return f"# How to cite\n\nThe repository's `CITATION.cff`:\n\n```yaml\n{text}```\n"
    return re.sub(r"\[([^\]]*)\]\(([^)\s]+)\)", _from_the_top, text)


def _from_the_top(link: re.Match[str]) -> str:
    """A link of a file at the repository's top, as a page of the site has it."""
    path, mark, anchor = link[2].partition("#")
    if re.match(r"\w+:", path) or not path:
        return link[0]
    if path not in TAKEN and not path.startswith("docs/"):
        return f"{link[1]} (`{path}`)"
    return f"[{link[1]}]({TAKEN.get(path, path.removeprefix('docs/'))}{mark}{anchor})"


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    place = page.file.src_uri
    if place == "presets.md":
        return re.sub(r"^\| `([\w-]+)` \|", _linked, markdown, flags=re.MULTILINE)
    markdown = re.sub(r"\]\((notebooks/[\w-]+)\.ipynb\)", r"](\1.md)", markdown)
    return re.sub(r"\[([^\]]*)\]\(((?:\.\./)+[^)\s]+)\)", lambda link: _leaving(link, place), markdown)


def _linked(row: re.Match[str]) -> str:
    return f"| [`{row[1]}`]({method_pages.page_of_preset()[row[1]]}#preset-{row[1]}) |"


def _leaving(link: re.Match[str], place: str) -> str:
    """A link to a file of the repository outside of docs/: to its page, where it has one, else its name."""
    path, mark, anchor = link[2].partition("#")
    target = ((DOCS / place).parent / path).resolve()
    if target.is_relative_to(DOCS) or not target.exists():
        return link[0]
    name = str(target.relative_to(ROOT))
    if name in TAKEN:
        up = "../" * place.count("/")
        return f"[{link[1]}]({up}{TAKEN[name]}{mark}{anchor})"
    return f"{link[1]} (`{name}`)"

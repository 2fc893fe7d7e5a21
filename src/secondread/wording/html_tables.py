"""Tables as notebooks show them: HTML that needs nothing else and runs nothing."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Sequence
from html import escape
from typing import Any


def html_table(heads: Sequence[str], lines: Iterable[Sequence[Any]], *, left: int = 1) -> str:
    """A table; the first `left` columns hold words, the others figures. A cell is shown as it is, never run;
    one that is `Markup` is HTML already.

    >>> html_table(["path", "score"], [["<b>", 1.5]]).count("&lt;b&gt;")
    1
    """

    def row(cells: Sequence[Any], tag: str) -> str:
        sides = ("left" if number < left else "right" for number in range(len(cells)))
        texts = (cell if isinstance(cell, Markup) else escape(str(cell)) for cell in cells)
        scope = ' scope="col"' if tag == "th" else ""
        written = (
            f'<{tag}{scope} style="text-align:{side}">{text}</{tag}>'
            for side, text in zip(sides, texts, strict=True)
        )
        return f"<tr>{''.join(written)}</tr>"

    body = "".join(row(line, "td") for line in lines)
    return f"<table><thead>{row(heads, 'th')}</thead><tbody>{body}</tbody></table>"


def html_block(title: str, *parts: str) -> str:
    """A title, which is shown as it is, and HTML below it."""
    return f"<div><p><b>{escape(title)}</b></p>{''.join(parts)}</div>"


def html_line(text: str) -> str:
    """A line of text, shown as it is."""
    return f"<p>{escape(text)}</p>"


def html_picture(values: Any, width: int = 48) -> Markup:
    """An array `[rows, columns]` as a small grey picture, from its lowest value (black) to its highest."""
    from PIL import Image

    low, high = float(values.min()), float(values.max())
    grey = ((values - low) * (255 / max(high - low, 1e-12))).astype("uint8")
    written = io.BytesIO()
    Image.fromarray(grey).save(written, "PNG")
    data = base64.b64encode(written.getvalue()).decode()
    return Markup(f'<img width="{width}" src="data:image/png;base64,{data}" alt="">')


class Markup(str):
    """HTML that was made here, of nothing that a file says."""

    __slots__ = ()

"""A page that is a file alone: it needs nothing else, and can be read on a phone and on paper."""

from __future__ import annotations

from html import escape

STYLE = (
    "body{font-family:sans-serif;line-height:1.5;margin:1.5em auto;padding:0 1em;max-width:75em}"
    "img{max-width:100%}.scroll{overflow-x:auto}td,th{padding:.1em .8em}"
    "@media(prefers-color-scheme:dark){body{background:#14171a;color:#e6e8ea}}"
)


def html_page(title: str, *parts: str, refresh: int | None = None) -> str:
    """The page with its first heading, which is shown as it is, and HTML below it.

    refresh  seconds after which it loads itself again
    """
    again = "" if refresh is None else f'<meta http-equiv="refresh" content="{refresh}">'
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">{again}'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head>"
        f"<body><main><h1>{escape(title)}</h1>{''.join(parts)}</main></body></html>\n"
    )


def scrolling(table: str) -> str:
    """A table that scrolls by itself where it is wider than the page, also by keys."""
    return f'<div class="scroll" tabindex="0">{table}</div>'

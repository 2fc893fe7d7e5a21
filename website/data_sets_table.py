"""The list of public data sets in docs/data-sets.md, made from their converters."""

from __future__ import annotations

import re

from secondread.datasets import DATASETS


def data_sets_table() -> str:
    """A line for each converter: its name with a link to its source, and what it says of itself."""
    lines = [
        "| NAME | data set | what lies in FOLDER | split | choices | licence |",
        "|---|---|---|---|---|---|",
    ]
    for name in DATASETS:
        kind = DATASETS.find(name)
        source = re.search(r"https://[^\s)]+", kind.source)
        assert source is not None, f"{name}: the source has no address"
        choices = [f"`--protocol {protocol}`" for protocol in kind.protocols]
        choices += [f"`--{option}`: {meaning}" for option, meaning in kind.takes.items()]
        cells = [kind.title, kind.layout, kind.split, "; ".join(choices), kind.licence]
        shown = " | ".join(cell.replace("|", "\\|") for cell in cells)
        lines.append(f"| [`{name}`]({source[0]}) | {shown} |")
    return "\n".join(lines) + "\n"

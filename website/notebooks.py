"""The executed notebooks of docs/notebooks as pages: text, code, tables and pictures, as they lie there."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def page(file: Path) -> str:
    cells = json.loads(file.read_text(encoding="utf-8"))["cells"]
    text = "\n\n".join(part for cell in cells for part in _cell(cell))
    title, rest = re.split(r"(?<=\n)", text, maxsplit=1)
    return f"{title}\n[The notebook itself]({file.name}), to run it.\n\n{rest}\n"


def _cell(cell: Mapping[str, Any]) -> list[str]:
    source = "".join(cell["source"])
    if cell["cell_type"] != "code":
        return [source]
    return [f"```python\n{source}\n```", *filter(None, map(_output, cell["outputs"]))]


def _output(output: Mapping[str, Any]) -> str:
    """What a browser shows of it. Of progress, which was drawn again and again, there is nothing to show."""
    data = output.get("data", {})
    if "image/png" in data:
        picture = "".join(data["image/png"]).replace("\n", "")
        return f'<img alt="what the cell drew" src="data:image/png;base64,{picture}">'
    if output["output_type"] == "display_data":
        return ""
    if "text/html" in data:
        lines = "".join(data["text/html"]).splitlines()
        return "<div>" + " ".join(line.strip() for line in lines if line.strip()) + "</div>"
    text = "".join(output.get("text", data.get("text/plain", ())))
    return f"```text\n{text.rstrip()}\n```" if text.strip() else ""

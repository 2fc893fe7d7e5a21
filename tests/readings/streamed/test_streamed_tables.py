"""Tables of readings written and read back row by row."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from secondread.cohorts.row import Row
from secondread.readings.streamed.earlier_rows import EarlierRows
from secondread.readings.streamed.facts_file import FactsFile
from secondread.readings.streamed.gathered_facts import write_gathered
from secondread.readings.streamed.item import Item
from secondread.readings.streamed.items import Items

NAMES = ("path", "digest", "study_id", "score", "map", "error")


def line(path: str, shade: float, **facts: Any) -> str:
    picture = np.full((16, 16), shade, "<f4")
    told = {"path": path, "facts": facts, "thumbnail": base64.b64encode(picture.tobytes()).decode()}
    return json.dumps(told) + "\n"


@pytest.mark.parametrize("paths", [[], ["a.png"], ["b.png", "a longer ä.png", "caf\udce9.png"]])
def test_thumbnails_are_those_that_numpy_writes(paths: Sequence[str], tmp_path: Path) -> None:
    (tmp_path / "facts.jsonl").write_text("".join(line(path, n) for n, path in enumerate(paths)))
    write_gathered(tmp_path)
    written = io.BytesIO()
    shades = [np.full((16, 16), n, np.float32) for n in range(len(paths))]
    pictures = np.array(shades, np.float32).reshape(-1, 16, 16)
    np.savez_compressed(written, paths=np.array(paths, np.str_), thumbnails=pictures)
    assert (tmp_path / "thumbnails.npz").read_bytes() == written.getvalue()


def test_facts_of_an_image_stand_where_it_was_first_and_say_what_was_last(tmp_path: Path) -> None:
    path = tmp_path / "facts.jsonl"
    torn = line("d.png", 4)[:-1]
    path.write_text(line("a.png", 1, old="1") + "{}\n" + line("b.png", 2, kv=5) + line("a.png", 3) + torn)
    with FactsFile(path) as facts:
        assert list(facts.paths) == ["a.png", "b.png"]
        assert facts.names == {"kv"}
        assert [one["path"] for one in facts] == ["a.png", "b.png"]
        assert facts[0]["thumbnail"] == json.loads(line("a.png", 3))["thumbnail"]
        assert facts.find("b.png") == 1
        assert facts.find("d.png") is None
    write_gathered(tmp_path)
    assert (tmp_path / "acquisition.csv").read_text() == "path,kv\na.png,\nb.png,5\n"


def test_an_earlier_row_stands_where_it_was_first_and_as_it_was_last(tmp_path: Path) -> None:
    table = tmp_path / "readings.csv"
    lines = [
        ",".join(NAMES),
        "a,1,,0.1,,",
        'b,2,"x\ny",0.2,,',
        "c,3,,,,broken",
        "a,4,,0.4,,",
        "short,1",
        "d,5,,0",
    ]
    table.write_text("\n".join(lines))
    rows = EarlierRows(table, NAMES, with_maps=False)
    assert list(rows) == list(rows) == [["a", "4", "", "0.4", "", ""], ["b", "2", "x\ny", "0.2", "", ""]]


def test_packed_images_are_those_of_the_manifest() -> None:
    rows = [
        Row("films/p-2.png", study_id="s", patient_id="p"),
        Row("films/p-10.png", study_id="s", patient_id="p"),
        Row("films/p-1.png", study_id="s", patient_id="p"),
        Row("clip.dcm#frame/4", study_id="s", extra={"time_s": "0.5"}),
        Row("films/q-1.png", study_id="s", patient_id="q"),
        Row("caf\udce9.png"),
    ]
    items = Items(Item.of_row(row, f"/data/{row.path}") for row in rows)
    items.number_frames()
    assert list(items) == Item.of_rows(rows, lambda row: row.path, lambda row: f"/data/{row.path}")
    assert [item.frame for item in items] == [1, 2, 0, 4, None, None]
    assert items.find("clip.dcm#frame/4") == 3
    assert items.find("clip.dcm") is None

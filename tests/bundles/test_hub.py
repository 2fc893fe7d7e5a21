"""A bundle sent to a model hub and fetched again, by the hub's own library, against one on this machine."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from local_hub import local_hub

from secondread.bundles.archive import CARD, DOCUMENT
from secondread.bundles.bundle import Bundle
from secondread.bundles.bundle_document import FILES
from secondread.bundles.facts import Facts

pytest.importorskip("huggingface_hub")
RUN = """
import json, sys
from typer.testing import CliRunner
from secondread.cli.application import app
for words in json.loads(sys.argv[1]):
    done = CliRunner().invoke(app, ["bundle", *words])
    print(json.dumps([done.exit_code, done.output]))
"""


def run(hub, folder: Path, *commands: list) -> list[tuple[int, str]]:
    """`secondread bundle …`, several times, in a process of its own: the library reads its endpoint when it
    is imported."""
    settings = {
        "HF_ENDPOINT": hub.address, "HF_TOKEN": "hf_none", "HF_HOME": str(folder / "home"),
        "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1", "NO_PROXY": "127.0.0.1",
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", RUN, json.dumps(commands, default=str)],
        env={**os.environ, **settings}, capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    return [tuple(json.loads(line)) for line in done.stdout.splitlines()]


def test_a_bundle_goes_to_a_hub_and_comes_back(fitted: Bundle, tmp_path: Path) -> None:
    with local_hub() as hub:
        hub.files["someone/changed"] = {
            name: (fitted.path / name).read_bytes() for name in (DOCUMENT, *FILES)
        }
        hub.files["someone/changed"]["seen.json"] = hub.files["someone/changed"]["seen.json"][:-1] + b" "
        pushed, pulled, changed, none = run(
            hub, tmp_path,
            ["push", fitted.path, "someone/spectrum", "--licence", "cc-by-4.0"],
            ["pull", "someone/spectrum", "-o", tmp_path / "fetched"],
            ["pull", "someone/changed", "-o", tmp_path / "changed"],
            ["pull", "someone/else", "-o", tmp_path / "none"],
        )  # fmt: skip
        assert pushed[0] == 0, pushed[1]
        asked, sent = hub.created["someone/spectrum"], hub.files["someone/spectrum"]
        assert asked.get("private") is True or asked.get("visibility") == "private"
        assert sent.keys() - {".gitattributes"} == {DOCUMENT, CARD, *FILES}
        assert b"not a medical device" in sent[CARD]

        assert pulled[0] == 0, pulled[1]
        fetched = Facts.read(tmp_path / "fetched")
        assert fetched.document.made_from == (fitted.digest,)
        assert fetched.document.statements.licence == "cc-by-4.0"
        assert (tmp_path / "fetched" / CARD).read_bytes() == sent[CARD]
        assert Bundle.load(tmp_path / "fetched").digest == fetched.digest
        assert changed[0] == 3
        assert "someone/changed/seen.json: is not the file that bundle.json declares" in changed[1]
        assert none[0] == 2
        assert "someone/else: bundle.json cannot be fetched" in none[1]
        assert not (tmp_path / "changed").exists()

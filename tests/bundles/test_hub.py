"""A bundle sent to a model hub and fetched again, by the hub's own library, against one on this machine."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from local_hub import local_hub

from secondread.bundles.archive import CARD, DOCUMENT
from secondread.bundles.bundle import Bundle
from secondread.bundles.bundle_document import FILES

pytest.importorskip("huggingface_hub")


def run(hub, folder: Path, *words: object, code: int = 0) -> str:
    """`secondread bundle …`, as a process of its own: the library reads its endpoint when it is imported."""
    settings = {
        "HF_ENDPOINT": hub.address, "HF_TOKEN": "hf_none", "HF_HOME": str(folder / "home"),
        "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1", "NO_PROXY": "127.0.0.1",
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", "secondread", "bundle", *map(str, words)],
        env={**os.environ, **settings}, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == code, done.stderr
    return done.stdout + done.stderr


def test_a_bundle_goes_to_a_hub_and_comes_back(fitted: Bundle, tmp_path: Path) -> None:
    with local_hub() as hub:
        run(hub, tmp_path, "push", fitted.path, "someone/spectrum", "--licence", "cc-by-4.0")
        asked = hub.created["someone/spectrum"]
        assert asked.get("private") is True or asked.get("visibility") == "private"
        sent = hub.files["someone/spectrum"]
        assert sent.keys() - {".gitattributes"} == {DOCUMENT, CARD, *FILES}
        assert b"not a medical device" in sent[CARD]

        run(hub, tmp_path, "pull", "someone/spectrum", "-o", tmp_path / "fetched")
        assert Bundle.load(tmp_path / "fetched").digest == fitted.digest
        sent["seen.json"] = sent["seen.json"][:-1] + b" "
        said = run(hub, tmp_path, "pull", "someone/spectrum", "-o", tmp_path / "changed", code=3)
        assert "someone/spectrum/seen.json: is not the file that bundle.json declares" in said
        assert not (tmp_path / "changed").exists()
        said = run(hub, tmp_path, "pull", "someone/else", "-o", tmp_path / "none", code=2)
        assert "someone/else: bundle.json cannot be fetched" in said

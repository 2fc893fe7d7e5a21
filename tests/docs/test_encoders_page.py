"""`docs/methods/encoders.md`: the network of one's own that it shows is fitted as it stands."""

import re
from pathlib import Path

import yaml

from secondread.cohorts.phantoms.make import make_phantoms
from secondread.fitting.fit import fit
from secondread.networks.encoders import ENCODERS
from secondread.recipes.recipe import Recipe
from secondread.registry import outside

PAGE = Path(__file__).resolve().parents[2] / "docs" / "methods" / "encoders.md"
TEXT = PAGE.read_text(encoding="utf-8")


def test_every_encoder_is_in_the_table():
    assert {name for name in ENCODERS if f"| `{name}` |" not in TEXT} == set()


def test_the_network_that_is_shown_is_fitted_and_finds_what_is_drawn(tmp_path, monkeypatch):
    (code,) = re.findall(r"^```python\n(.*?)^```", TEXT, flags=re.DOTALL | re.MULTILINE)
    (recipe,) = re.findall(r"^```yaml\n(.*?)^```", TEXT, flags=re.DOTALL | re.MULTILINE)
    (tmp_path / "my_networks").mkdir()
    (tmp_path / "my_networks" / "texture.py").write_text(code)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(outside, "_allowed", set())
    manifest = make_phantoms(tmp_path / "phantoms", seed=0, n_normal=16, n_abnormal=2, size=(64, 64))
    bundle = fit(
        Recipe.from_mapping(yaml.safe_load(recipe)), manifest, tmp_path / "bundle", cache=tmp_path / "cache",
        workers=0, progress=False,
    )  # fmt: skip
    assert bundle.detector.encoder.channels == (6, 12)
    assert [code.place for code in bundle.provenance.code] == ["my_networks.texture:texture"]

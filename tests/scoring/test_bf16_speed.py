"""Which precision `auto` is on a processor: measured once, kept, and overruled by whoever says another."""

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from secondread.errors import UserError
from secondread.scoring.bf16_speed import Bf16Speed, bf16_speed
from secondread.scoring.device import asked_precision, choose_precision

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("SECONDREAD_PRECISION", raising=False)
    bf16_speed.cache_clear()
    yield
    bf16_speed.cache_clear()


def keep(text: str) -> None:
    """As if an earlier process on this machine had found this."""
    file = bf16_speed().file
    assert file is not None
    file.write_text(text)
    bf16_speed.cache_clear()


def test_what_the_first_process_found_stays() -> None:
    first = bf16_speed()
    bf16_speed.cache_clear()
    assert bf16_speed() == first
    for told, precision in (((4.0, 2.5), "bf16"), ((0.2, 0.2), "float32")):
        keep(json.dumps(dict(zip(("convolution", "product"), told, strict=True))))
        assert choose_precision("auto", CPU) == precision
    assert torch.get_num_threads() >= 1


@pytest.mark.parametrize("nonsense", ["", "{}", '{"convolution": -1, "product": 1}', "[1, 2]"])
def test_what_makes_no_sense_is_measured_anew(nonsense: str) -> None:
    keep(nonsense)
    found, file = bf16_speed()
    assert file is not None
    assert json.loads(file.read_text())["product"] == found.product
    assert [path.name for path in file.parent.iterdir()] == [file.name]


@pytest.mark.skipif(sys.platform == "win32" or not hasattr(os, "getuid"), reason="needs a POSIX file system")
def test_where_nothing_can_be_kept_it_is_measured_all_the_same(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    monkeypatch.setenv("HOME", str(tmp_path / "file"))
    assert bf16_speed().file is None
    assert bf16_speed().speed.product > 0


def test_another_dress_of_the_processor_is_another_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = bf16_speed().file
    bf16_speed.cache_clear()
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    assert bf16_speed().file != plain


@pytest.mark.parametrize(
    ("convolution", "product", "wins"),
    [(2.0, 4.3, True), (1.3, 1.3, True), (1.1, 1.2, False), (3.0, 0.9, False), (0.2, 0.2, False)],
)
def test_it_must_win_clearly_and_lose_nowhere(convolution: float, product: float, wins: bool) -> None:
    assert Bf16Speed(convolution, product).wins is wins


def test_an_order_is_followed_whatever_was_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [asked_precision(name) for name in ("auto", "bf16", "float32")] == [None, "bf16", "float32"]
    for ordered in ("bf16", "float32"):
        monkeypatch.setenv("SECONDREAD_PRECISION", ordered)
        assert choose_precision("auto", CPU) == ordered
    monkeypatch.setenv("SECONDREAD_PRECISION", "half")
    with pytest.raises(UserError, match="precision 'half' is not known"):
        choose_precision("auto", CPU)

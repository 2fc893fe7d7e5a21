"""What frozen encoders say of images is computed once, and what was kept changes no number."""

import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from secondread import detectors
from secondread.calibration.raw_scores import RawScores, concatenate
from secondread.detectors.contract import Detector
from secondread.networks.encoder import EncoderSettings
from secondread.preprocessing.cache.cache import Cache
from secondread.scoring import output_files
from secondread.scoring.image_source import ArraySource
from secondread.scoring.kept_encodings import KeptEncodings, frozen_modules, kept_encodings
from secondread.scoring.scorer import Scorer
from secondread.training.loop import train

SQUEEZENET = {
    "encoder": EncoderSettings(name="squeezenet1_1", weights="random").model_dump(),
    "layers": ("features.4", "features.7"),
}


class Images(ArraySource):
    """The last one is padded."""

    def batch(self, indices):
        images, _ = super().batch(indices)
        valid = np.ones(images[:, :1].shape, bool)
        valid[[row for row, index in enumerate(indices) if index == len(self) - 1], ..., 20:] = False
        return images, valid


@pytest.fixture(scope="module")
def images() -> ArraySource:
    return Images(np.random.default_rng(0).uniform(size=(6, 1, 32, 32)).astype(np.float32))


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache")


def made(name: str, **settings: object) -> Detector:
    kind = detectors.find(name)
    tiny = kind.tiny(2)
    torch.manual_seed(0)
    given = type(tiny.settings).model_validate(tiny.settings.model_dump() | settings)
    return kind(given, 1, (32, 32))


def fitted(name: str, images: ArraySource, cache: Cache | None, **settings: object) -> Detector:
    detector = made(name, **settings)
    stages = detectors.find(name).tiny(2).stages
    where = None if cache is None else cache.directory
    train(detector, {"normal": images}, stages, seed=1, cache=where, device="cpu", precision="float32")
    return detector


def scored(detector: Detector, images: ArraySource, cache: Cache | None) -> tuple[RawScores, tuple[int, int]]:
    """With how many images went through an encoder, and how many were found."""
    with kept_encodings(detector, None if cache is None else cache.directory) as kept:
        raw = concatenate(list(Scorer(detector, precision="float32").set(images, batch_size=4)))
    return raw, (0, 0) if kept is None else (kept.computed, kept.found)


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("padim", SQUEEZENET),
        ("k-nn", {"of": "features", **SQUEEZENET}),
    ],
)
def test_what_was_kept_changes_no_bit_of_a_score(name, settings, images, cache):
    detector = fitted(name, images, None, **settings)
    plain, _ = scored(detector, images, None)
    first, counts = scored(detector, images, cache)
    assert counts == (6, 0)
    again, counts = scored(detector, images, cache)
    assert counts == (0, 6)
    for found in (first, again):
        for part, values in plain.parts.items():
            assert np.array_equal(found.parts[part], values)
        assert (plain.maps is None) or np.array_equal(found.maps["distance"], plain.maps["distance"])


def test_another_seed_and_another_detector_of_the_same_encoder_compute_nothing(images, cache, monkeypatch):
    seen: list[KeptEncodings] = []
    original = KeptEncodings.__init__

    def noted(self, *given):
        original(self, *given)
        seen.append(self)

    monkeypatch.setattr(KeptEncodings, "__init__", noted)
    by_processor = SimpleNamespace(perf_counter=time.process_time)  # a busy machine stretches the other time
    monkeypatch.setattr("secondread.scoring.kept_encodings.time", by_processor)
    fitted("padim", images, cache, **SQUEEZENET)
    other = made("patchcore", **SQUEEZENET)
    train(
        other, {"normal": images}, detectors.find("patchcore").tiny(2).stages,
        seed=2, cache=cache.directory, device="cpu", precision="float32",
    )  # fmt: skip
    assert [(kept.computed, kept.found) for kept in seen] == [(6, 0), (0, 6)]
    assert seen[1].spared_seconds > 0


def test_what_is_learned_from_is_rounded_alike_whether_or_not_it_was_kept(images, cache):
    first = fitted("padim", images, cache, **SQUEEZENET).state_dict()
    again = fitted("padim", images, cache, **SQUEEZENET).state_dict()
    for path in (cache.directory / "features").rglob("*.half"):
        path.unlink()
    scored(fitted("padim", images, None, **SQUEEZENET), images, cache)  # bit by bit
    anew = fitted("padim", images, cache, **SQUEEZENET).state_dict()
    for name, value in first.items():
        assert torch.equal(again[name], value)
        assert torch.equal(anew[name], value)
    plain = fitted("padim", images, None, **SQUEEZENET).state_dict()
    torch.testing.assert_close(first["gaussians.mean"], plain["gaussians.mean"], rtol=1e-3, atol=1e-4)


class Twice(nn.Module):
    """Stands for an encoder."""

    def __init__(self, identity: str = "twice", weight: float = 2.0) -> None:
        super().__init__()
        self.identity, self.weight = identity, nn.Parameter(torch.tensor(weight))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.weight * images


@pytest.fixture(autouse=True)
def all_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """However fast these small networks are."""
    monkeypatch.setattr(output_files, "BYTES_PER_SECOND", 1e15)


def answers(cache: Cache, network: nn.Module, images: torch.Tensor, **more: bool) -> tuple[torch.Tensor, int]:
    kept = KeptEncodings(cache.directory, more.get("halved", False))
    answer = kept.answer(network.eval(), (4, 4))
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=more.get("bf16", False)):
        found = answer(images)
    assert isinstance(found, torch.Tensor)
    return found, kept.computed


@pytest.mark.parametrize(
    ("network", "more"),
    [(Twice("other"), {}), (Twice(weight=3.0), {}), (Twice(), {"bf16": True})],
    ids=["settings", "weights", "precision"],
)
def test_what_the_values_follow_from_is_in_their_name(cache, network, more):
    pixels = torch.rand(3, 1, 4, 4)
    assert answers(cache, Twice(), pixels)[1] == 3
    assert answers(cache, Twice(), pixels.flip(0))[1] == 0
    assert answers(cache, network, pixels, **more)[1] == 3


def test_damaged_files_are_computed_again_and_what_float16_cannot_hold_stays(cache):
    large, pixels = Twice(weight=1e6), torch.rand(5, 1, 4, 4)
    whole, _ = answers(cache, large, pixels, halved=True)
    torch.testing.assert_close(whole, 1e6 * pixels)
    files = sorted(path for path in (cache.directory / "features").rglob("*") if path.is_file())
    for path, damage in zip(files, (b"", b"short", files[-1].read_bytes()), strict=False):
        path.write_bytes(damage)
    again, computed = answers(cache, large, pixels, halved=True)
    assert computed == 3
    assert torch.equal(again, whole)


def test_they_count_for_the_caches_limit(cache):
    pixels = torch.rand(7, 1, 4, 4)
    answers(cache, Twice(), pixels)
    cache.trim()
    before = cache.growth.at_most()
    cache.limit_bytes = before // 2
    cache.trim()
    assert cache.growth.at_most() <= cache.limit_bytes
    assert 0 < answers(cache, Twice(), pixels)[1] < 7


def test_parts_of_images_and_what_takes_a_gradient_are_computed(cache):
    answer = KeptEncodings(cache.directory, False).answer(Twice().eval(), (8, 8))
    with torch.no_grad():
        answer(torch.rand(3, 1, 4, 4))
    answer(torch.rand(1, 1, 4, 4))
    assert not (cache.directory / "features").exists()


def test_encoders_that_a_stage_changes_are_left_alone():
    assert len(frozen_modules(made("padim", **SQUEEZENET))) == 1
    assert frozen_modules(made("k-nn")) == []
    assert frozen_modules(made("cutpaste")) == []
    kind = detectors.find("aeflow")
    tiny = kind.tiny(3)
    assert frozen_modules(kind(tiny.settings, 1, tiny.size)) == []


def test_nothing_stays_with_the_detector(cache):
    detector = made("padim")
    with kept_encodings(detector, cache.directory):
        assert "forward" in vars(detector.encoder)
    assert "forward" not in vars(detector.encoder)
    with pytest.raises(RuntimeError), kept_encodings(detector, cache.directory):
        raise RuntimeError
    assert "forward" not in vars(detector.encoder)

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric
from torch import nn

from secondread.preprocessing.cache.cache import Cache
from secondread.scoring.image_source import ArraySource
from secondread.training.batches.frozen_features import frozen_features
from secondread.training.batches.image_features import ImageFeatures


class Encoder(nn.Module):
    def __init__(self, identity="Encoder", factor=1.0, weight=2.0) -> None:
        super().__init__()
        self.identity, self.factor = identity, factor
        self.weight = nn.Parameter(torch.tensor(weight), requires_grad=False)

    def forward(self, images):
        return images * self.weight * self.factor, images.mean((2, 3))


@pytest.fixture
def images():
    return np.random.default_rng(0).normal(size=(7, 1, 4, 4)).astype(np.float32)


@pytest.fixture
def cache(tmp_path):
    return Cache(tmp_path / "cache")


def computed(encoder, images, cache, place, precision="float32", batch_size=3):
    """The features of a fit, and how many images went through the encoder."""
    kept = ImageFeatures.of(encoder, cache.directory, precision, "cpu")
    fabric = Fabric(accelerator="cpu", devices=1)
    found = frozen_features(encoder, ArraySource(images), place, fabric, batch_size=batch_size, kept=kept)
    return found.rows(range(len(images))), kept.computed


def test_another_fit_of_some_of_the_images_computes_the_others_alone_to_the_same_bits(
    images, cache, tmp_path
):
    first, count = computed(Encoder(), images[:5], cache, tmp_path / "one")
    assert count == 5
    second, count = computed(Encoder(), images[2:][::-1].copy(), cache, tmp_path / "two", batch_size=4)
    assert count == 2
    assert torch.equal(second[0].flip(0)[:3], first[0][2:])
    fresh = computed(Encoder(), images[2:][::-1].copy(), Cache(tmp_path / "other"), tmp_path / "three")[0]
    assert all(torch.equal(a, b) for a, b in zip(second, fresh, strict=True))
    torch.testing.assert_close(first[0], torch.from_numpy(2 * images[:5]), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("encoder", "precision"),
    [(Encoder("other"), "float32"), (Encoder(weight=3.0), "float32"), (Encoder(), "bf16")],
    ids=["settings", "weights", "precision"],
)
def test_what_the_values_follow_from_is_in_their_name(images, cache, tmp_path, encoder, precision):
    computed(Encoder(), images, cache, tmp_path / "one")
    assert computed(encoder, images, cache, tmp_path / "two", precision)[1] == 7


def test_damaged_files_are_computed_again_and_what_float16_cannot_hold_stays(images, cache, tmp_path):
    large = Encoder(factor=1e6)
    whole = computed(large, images, cache, tmp_path / "one")[0]
    torch.testing.assert_close(whole[0], torch.from_numpy(2e6 * images))
    files = sorted(path for path in (cache.directory / "features").rglob("*") if path.is_file())
    assert len(files) == 7
    for path, damage in zip(files, (b"", b"short", path_swapped(files)), strict=False):
        path.write_bytes(damage)
    again, count = computed(large, images, cache, tmp_path / "two")
    assert count == 3
    assert torch.equal(again[0], whole[0])


def path_swapped(files):
    return files[-1].read_bytes()


def test_they_count_for_the_caches_limit(images, cache, tmp_path):
    computed(Encoder(), images, cache, tmp_path / "one")
    cache.trim()
    before = cache.growth.at_most()
    cache.limit_bytes = before // 2
    cache.trim()
    assert cache.growth.at_most() <= cache.limit_bytes
    assert 0 < computed(Encoder(), images, cache, tmp_path / "two")[1] < 7


def test_a_function_that_does_not_say_what_it_is_keeps_nothing(cache):
    assert ImageFeatures.of(lambda images: (images,), cache.directory, "float32", "cpu") is None
    assert ImageFeatures.of(nn.Identity(), cache.directory, "float32", "cpu") is None

import pytest
import torch
from in_memory import blobs

from secondread.anomalies.kinds.fpi import ForeignPatches, ForeignPatchSettings
from secondread.detectors.blocks.drawn_anomalies import pixel_areas
from secondread.detectors.contract import Batch
from secondread.metrics.mean_interval import lower_bound

SIZE = (32, 32)
DRAW = ForeignPatches(ForeignPatchSettings(share=1.0))


def areas(maps_of, batches, seed=3):
    return pixel_areas(iter(batches), DRAW, maps_of, torch.Generator().manual_seed(seed))


def test_a_map_of_the_change_shows_it_and_noise_does_not():
    images = blobs(12, SIZE)
    noise = torch.Generator().manual_seed(1)

    def maps_of(changed):
        nearest = torch.cdist(changed.flatten(1), images.flatten(1)).argmin(dim=1)
        return {
            "change": (changed - images[nearest]).abs(),
            "noise": torch.rand(changed.shape, generator=noise),
        }

    found = areas(maps_of, [Batch(part) for part in images.split(4)])
    assert {name: len(values) for name, values in found.items()} == {"change": 12, "noise": 12}
    assert lower_bound(found["change"]) > 0.95
    assert lower_bound(found["noise"]) < 0.5 < max(found["noise"])


def test_black_images_padding_and_single_images_do_not_count():
    black, images = torch.zeros(4, 1, *SIZE), blobs(4, SIZE)
    assert areas(lambda x: {"map": x}, [Batch(black), Batch(images[:1])]) == {}
    valid = torch.ones(4, 1, *SIZE, dtype=torch.bool)
    valid[..., :16] = False
    seen = []

    def outside(x):
        """High in the padding, which nothing is drawn in, and constant elsewhere."""
        seen.append(x)
        return {"map": (~valid).float()}

    found = areas(outside, [Batch(images, valid)])
    assert found["map"] == [0.5] * 4
    assert all(torch.equal(x[..., :16], images[..., :16]) for x in seen)


def test_a_map_that_is_not_finite_shows_nothing():
    found = areas(lambda x: {"map": torch.full_like(x, torch.nan)}, [Batch(blobs(4, SIZE))])
    assert found["map"] == [0.5] * 4


def test_one_seed_draws_the_same():
    images = [Batch(part) for part in blobs(8, SIZE).split(4)]
    assert areas(lambda x: {"map": x}, images) == areas(lambda x: {"map": x}, images)
    assert areas(lambda x: {"map": x}, images) != areas(lambda x: {"map": x}, images, seed=4)


def test_the_bound_of_a_mean_is_students():
    values = [0.4, 0.5, 0.9]
    # mean 0.6, deviation 0.2646, t of 2 degrees of freedom at 0.975 is 4.3027
    assert lower_bound(values) == pytest.approx(0.6 - 4.3027 * 0.26458 / 3**0.5, abs=1e-4)
    assert lower_bound([0.7]) == lower_bound([]) == lower_bound([0.7, float("nan")]) == -float("inf")

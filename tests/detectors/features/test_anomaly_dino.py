import pytest
import torch
from in_memory import blobs, fit, score

from secondread.detectors.contract import Batch
from secondread.detectors.features.anomaly_dino import AnomalyDINO, AnomalyDINOSettings, foreground, rotated
from secondread.recipes.build import build_detector
from secondread.recipes.recipe import Recipe

SIZE = (32, 32)


def make(size=SIZE, **changes):
    form = AnomalyDINO.tiny(2)
    settings = AnomalyDINOSettings.model_validate({**form.settings.model_dump(), **changes})
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return AnomalyDINO(settings, form.channels, size)


def test_the_score_is_the_mean_of_the_largest_cosine_distances_to_the_nearest_patch():
    detector = make(bank=2_000, pool=8_000, half_precision=False, smoothing=0)
    normals, images = blobs(6, SIZE), blobs(3, SIZE, seed=3)
    fit(detector, normals)
    bank = detector.tokens(Batch(normals)).flatten(0, 1)
    assert len(detector.bank) == len(bank)
    distances = 1 - (detector.tokens(Batch(images)) @ bank.T).amax(dim=2)
    found = score(detector, images)
    count = -(-distances.shape[1] // 10)
    expected = distances.sort(dim=1, descending=True).values[:, :count].mean(dim=1)
    torch.testing.assert_close(found.parts["distance"].values, expected, atol=1e-5, rtol=1e-4)
    shown = detector.tokens.maps.place(distances.view(3, 1, *detector.tokens.grid), 0)
    torch.testing.assert_close(found.maps["distance"], shown, atol=1e-5, rtol=1e-4)


def test_a_bank_that_is_full_is_a_coreset_in_half_precision():
    detector = make(bank=10)
    fit(detector, blobs(20, SIZE))
    assert detector.bank.shape[0] == 10
    assert detector.bank.dtype == torch.float16
    torch.testing.assert_close(detector.bank.float().norm(dim=1), torch.ones(10), atol=1e-3, rtol=0)


def test_turned_normals_join_the_bank():
    normals = blobs(2, SIZE)
    plain, turned = make(bank=3_000, pool=12_000), make(bank=3_000, pool=12_000, rotations=True)
    fit(plain, normals)
    fit(turned, normals)
    assert len(plain.bank) < len(turned.bank) <= 8 * len(plain.bank)
    quarter = rotated(normals[:1], 90)
    assert score(turned, quarter).parts["distance"].values < score(plain, quarter).parts["distance"].values
    with pytest.raises(ValueError, match="rotations: pictures can be turned"):
        make((8, 32, 32), rotations=True)


def block(grid=(10, 10), strength=30.0):
    """Patches whose middle differs from the rest along one direction."""
    patches = 0.1 * torch.randn(*grid, 5, generator=torch.Generator().manual_seed(0))
    patches[3:7, 3:7, 2] += strength
    return patches.flatten(0, 1)


@pytest.mark.parametrize("sign", [1, -1])
def test_the_foreground_is_what_the_first_component_raises_in_the_middle_whatever_its_sign(sign):
    expected = torch.zeros(10, 10, dtype=torch.bool)
    expected[2:8, 2:8] = True  # dilated by one position
    found = foreground(sign * block(), None, (10, 10), 10.0)
    assert torch.equal(found.view(10, 10), expected)


def test_where_both_signs_have_foreground_the_mask_is_not_a_matter_of_the_library_s_sign(monkeypatch):
    halves = torch.zeros(10, 10, 5)
    halves[:, :5, 2], halves[:, 5:, 2] = 20.0, -20.0
    halves += 0.1 * torch.randn(halves.shape, generator=torch.Generator().manual_seed(0))
    eigh, found = torch.linalg.eigh, []
    for sign in (1, -1):

        def signed(x, sign=sign):
            values, vectors = eigh(x)
            return torch.return_types.linalg_eigh((values, sign * vectors))

        monkeypatch.setattr(torch.linalg, "eigh", signed)
        found.append(foreground(halves.flatten(0, 1), None, (10, 10), 10.0))
    assert torch.equal(*found)
    assert not found[0].all()


def test_an_image_without_foreground_counts_whole_and_padding_is_none():
    assert foreground(block(strength=0), None, (10, 10), 10.0).all()
    there = torch.ones(10, 10, dtype=torch.bool)
    there[:, :5] = False
    found = foreground(block(), there.flatten(), (10, 10), 10.0).view(10, 10)
    assert not found[:, :5].any()
    assert found[5, 5]


def test_background_is_neither_kept_nor_scored():
    detector = make(foreground=1e-3)
    fit(detector, blobs(6, SIZE))
    found = score(detector, blobs(2, SIZE, seed=4))
    assert found.parts["distance"].values.isfinite().all()
    _, there = detector._patches(Batch(blobs(2, SIZE, seed=4)))
    assert there.shape == (2, detector.tokens.positions)


def test_a_pool_of_fewer_than_four_banks_is_refused():
    with pytest.raises(ValueError, match="at least 4 times the bank, 400"):
        make(bank=100, pool=300)


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_quarter_turns_are_anticlockwise(degrees):
    image = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    expected = torch.rot90(image, degrees // 90, (2, 3))
    torch.testing.assert_close(rotated(image, degrees), expected, atol=1e-5, rtol=0)


def test_lengths_stay_and_what_comes_from_outside_is_0():
    image = torch.zeros(1, 1, 20, 40)
    image[..., 9:11, 15:25] = 1
    turned = rotated(image, 90)
    across, along = (turned > 0.5).any(dim=-1).sum(), (turned > 0.5).any(dim=-2).sum()
    assert (across, along) == (10, 2)
    assert rotated(torch.ones(1, 1, 20, 40), 45)[0, 0, 0, 0] == 0


def test_the_paper_preset_has_the_papers_patches():
    with torch.device("meta"):
        detector = build_detector(Recipe.load("anomaly-dino-paper"), pretrained=False)
    assert (detector.tokens.grid, detector.tokens.dimensions) == ((32, 32), 384)
    assert detector.settings.top_share == 0.01

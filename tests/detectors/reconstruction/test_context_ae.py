import pytest
import torch
from in_memory import blobs, score

from secondread.detectors.contract import Batch
from secondread.detectors.reconstruction.context_ae import ContextAE, ContextAESettings
from secondread.recipes.build import build_detector
from secondread.recipes.recipe import Recipe


def small(**changes):
    network = {"width": 2, "hidden": 8, "latent": 4}
    return ContextAE(ContextAESettings(network=network, **changes), 1, (32, 32)).eval()


def test_the_loss_compares_with_the_clean_image():
    detector, images = small(), blobs(4, (32, 32))
    x = 2 * images - 1
    loss = detector.loss({"normal": Batch(images)}, torch.Generator().manual_seed(3))
    with torch.no_grad():
        erased = detector.erased(x, torch.Generator().manual_seed(3))
        expected = (x - detector.network(erased)).square().mean()
    assert not torch.equal(erased, x)
    assert loss["reconstruction"].item() == pytest.approx(expected.item(), rel=1e-5)


def test_one_square_of_each_image_is_erased_to_the_darkest_value_at_a_place_of_its_own():
    detector = small()
    x = torch.zeros(8, 1, 32, 32)
    found = (detector.erased(x, torch.Generator().manual_seed(0)) == -1).squeeze(1)
    assert found.flatten(1).sum(dim=1).tolist() == [25] * 8  # 0.024 * 32 * 32 = 4.96²
    rows, columns = found.any(dim=2), found.any(dim=1)
    assert rows.sum(dim=1).tolist() == columns.sum(dim=1).tolist() == [5] * 8
    assert len({tuple(row.nonzero().flatten().tolist()) for row in rows}) > 1


def test_scoring_erases_nothing():
    detector, images = small(), blobs(2, (32, 32))
    x = 2 * images - 1
    with torch.no_grad():
        expected = (x - detector.network(x)).square()
    torch.testing.assert_close(score(detector, images).maps["reconstruction"], expected)


def test_the_paper_preset_erases_ten_by_ten_of_sixty_four():
    with torch.device("meta"):
        detector = build_detector(Recipe.load("context-ae"), pretrained=False)
    erased = detector.erased(torch.zeros(1, 1, 64, 64), torch.Generator())
    assert int((erased == -1).sum()) == 100

import pytest
import torch
from in_memory import blobs, score

from secondread.detectors.contract import Batch, Generative
from secondread.detectors.variational.cevae import CeVAE, CeVAESettings
from secondread.detectors.variational.vae import VAE, VAESettings
from secondread.recipes.build import build_detector
from secondread.recipes.recipe import Recipe

SIZE = (16, 16)
NETWORK = {"kind": "convolutional", "widths": (4, 4), "latent": 5}


def small(**changes):
    torch.manual_seed(0)
    return CeVAE(CeVAESettings(network=NETWORK, **changes), 1, SIZE).eval()


def test_the_second_branch_gives_the_clean_image_from_an_erased_one_without_noise():
    detector, images = small(context_weight=1.0), blobs(4, SIZE)
    x = 2 * images - 1
    loss = detector.loss({"normal": Batch(images)}, torch.Generator().manual_seed(2))
    with torch.no_grad():
        erased = detector.erased(x, torch.Generator().manual_seed(2))
        expected = (x - detector.network(erased)).square().mean()
    assert set(loss) == {"context"}
    assert not torch.equal(erased, x)
    assert loss["context"].item() == pytest.approx(expected.item(), rel=1e-5)


def test_the_branches_share_the_loss_by_the_weight():
    images = blobs(4, SIZE)
    shared, alone = (
        detector.loss({"normal": Batch(images)}, torch.Generator().manual_seed(3))
        for detector in (small(context_weight=0.25), small(context_weight=0.0))
    )
    for name in ("reconstruction", "kl"):
        assert shared[name].item() == pytest.approx(0.75 * alone[name].item())
    assert set(alone) == {"reconstruction", "kl"}
    assert shared["context"] > 0


def test_no_square_up_to_one_fewer_than_asked_for_are_erased_with_values_of_the_batch():
    detector = small(squares=3, largest=0.5)
    x = torch.linspace(-0.5, 0.5, 256).view(1, 1, *SIZE).expand(60, -1, -1, -1)
    erased = detector.erased(x, torch.Generator().manual_seed(0))
    changed = erased != x
    values = [len(erased[i][changed[i]].unique()) for i in range(60)]
    assert set(values) == {0, 1, 2}
    assert changed.flatten(1).sum(dim=1).max() <= 2 * 7**2
    assert -0.5 <= erased.min() < erased.max() <= 0.5


def test_scores_are_those_of_the_vae_with_the_same_network():
    cevae, images = small(), blobs(2, SIZE)
    vae = VAE(VAESettings(network=NETWORK), 1, SIZE).eval()
    vae.load_state_dict(cevae.state_dict())
    one, other = score(cevae, images), score(vae, images)
    assert torch.equal(one.maps["reconstruction"], other.maps["reconstruction"])
    assert torch.equal(one.parts["kl"].values, other.parts["kl"].values)
    assert isinstance(cevae, Generative)


def test_the_paper_preset_has_the_published_size():
    with torch.device("meta"):
        detector = build_detector(Recipe.load("cevae-paper"), pretrained=False)
    strided = 16 * (1 * 16 + 16 * 64 + 64 * 256 + 256 * 1024)
    whole = 8 * 8 * (1024 * 256 + 128 * 1024)
    assert sum(p.numel() for p in detector.parameters()) == 2 * strided + whole

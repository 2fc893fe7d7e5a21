import torch
from in_memory import blobs, score

from secondread.detectors.reconstruction.spatial_ae import SpatialAE, SpatialAESettings
from secondread.recipes.build import build_detector
from secondread.recipes.recipe import Recipe


def test_the_error_is_squared_and_the_code_keeps_places():
    network = {"width": 2, "hidden": 8, "latent": 3}
    detector = SpatialAE(SpatialAESettings(network=network), 1, (32, 32)).eval()
    images = blobs(2, (32, 32))
    x = 2 * images - 1
    with torch.no_grad():
        assert detector.network.encode(x).shape == (2, 3, 2, 2)
        expected = (x - detector.network(x)).square()
    torch.testing.assert_close(score(detector, images).maps["reconstruction"], expected)


def test_the_paper_preset_has_the_published_size():
    """Kernels 4×4 through 1, 16, 32, 64, 64 channels and back, and four 1×1 layers between."""
    with torch.device("meta"):
        detector = build_detector(Recipe.load("spatial-ae"), pretrained=False)
    ends = 2 * 16 * (16 + 16 * 32 + 32 * 64 + 64 * 64) + 2 * (176 + 112)
    assert sum(p.numel() for p in detector.parameters()) == ends + 2 * (64 + 16) * 1024 + 4 * 1024

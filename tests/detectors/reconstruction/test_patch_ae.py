import pytest
import torch

from secondread.detectors.contract import Batch, ScoringNoise
from secondread.detectors.reconstruction.patch_ae import PatchAE, PatchAESettings
from secondread.tiling.tile_scores import TileScores
from secondread.tiling.window_settings import WindowSettings


def test_a_volume_is_as_abnormal_as_its_worst_cube() -> None:
    torch.manual_seed(0)
    detector = PatchAE(PatchAESettings(widths=(2,), code=2), 1, (4, 4, 4)).eval()
    volume = torch.rand(1, 1, 8, 8, 8)
    noise = ScoringNoise([torch.Generator()])

    def score(batch: Batch, drawn: ScoringNoise):
        return detector.score(batch, drawn, maps=True)

    with torch.no_grad():
        found = TileScores(score, WindowSettings(size=(4, 4, 4), overlap=0))(Batch(volume), noise)
        cubes = volume.unfold(2, 4, 4).unfold(3, 4, 4).unfold(4, 4, 4).reshape(-1, 1, 4, 4, 4)
        x = 2 * cubes - 1
        errors = (x - detector.network(x)).square().flatten(1).mean(1)
    assert len(cubes) == 8
    assert torch.allclose(found.parts["reconstruction"].values, errors.max(), atol=1e-5)
    assert found.maps["reconstruction"].shape == volume.shape


def test_sizes_of_the_shared_network_are_refused_and_its_defaults_are_read() -> None:
    with pytest.raises(ValueError, match="network is not used by patch-ae; set widths and code in its place"):
        PatchAESettings(network={"latent": 4})
    whole = PatchAESettings(widths=(2,)).model_dump()
    assert PatchAESettings.model_validate(whole).widths == (2,)

import pytest
import torch
from torch import Tensor

from secondread.detectors.contract import Batch, Part, Scores, ScoringNoise
from secondread.tiling.tile_scores import TileScores
from secondread.tiling.window_settings import WindowSettings


def squares(batch: Batch, noise: ScoringNoise) -> Scores:
    """Of each image the mean of its valid pixels' squares, and these as a map."""
    error = batch.images.square().mean(dim=1, keepdim=True)
    valid = torch.ones_like(error) if batch.valid is None else batch.valid.float()
    mean = (error * valid).flatten(1).sum(1) / valid.flatten(1).sum(1)
    return Scores({"mean": Part(mean), "both": Part(mean, "two")}, {"error": error})


def noise() -> ScoringNoise:
    return ScoringNoise([torch.Generator().manual_seed(1)])


def image(*size: int) -> Tensor:
    return torch.randn(1, 2, *size, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("blend", ["gaussian", "mean"])
@pytest.mark.parametrize("size", [(13, 20), (6, 9, 8)])
def test_the_map_of_a_pixelwise_detector_is_the_same_through_a_window(
    size: tuple[int, ...], blend: str
) -> None:
    window = WindowSettings.model_validate({"size": (4,) * len(size), "blend": blend})
    batch = Batch(image(*size))
    found = TileScores(squares, window)(batch, noise())
    assert torch.allclose(found.maps["error"], squares(batch, noise()).maps["error"], atol=1e-5)


def test_parts_of_tiles_become_the_image_s() -> None:
    pixels = torch.zeros(1, 1, 4, 16)
    pixels[..., 4:8], pixels[..., 8:12] = 1.0, 2.0
    tiles = torch.tensor([0.0, 1.0, 4.0, 0.0])

    def part(**settings: object) -> float:
        window = WindowSettings.model_validate({"size": (4, 4), "overlap": 0, **settings})
        return float(TileScores(squares, window)(Batch(pixels), noise()).parts["mean"].values)

    assert part(score="mean") == tiles.mean()
    assert part(score="max") == 4.0
    assert part(score="top", top=2) == 2.5
    assert part(score="top", top=9) == tiles.mean()
    assert part(score="quantile", quantile=0.75) == pytest.approx(float(tiles.quantile(0.75)))


def test_a_part_that_is_abnormal_both_ways_is_averaged() -> None:
    pixels = torch.zeros(1, 1, 4, 8)
    pixels[..., 4:] = 2.0
    window = WindowSettings(size=(4, 4), overlap=0, score="max")
    found = TileScores(squares, window)(Batch(pixels), noise()).parts["both"]
    assert found.tail == "two"
    assert float(found.values) == 2.0


def test_padding_is_not_read_and_weighs_nothing() -> None:
    pixels, valid = torch.ones(1, 1, 4, 12), torch.ones(1, 1, 4, 12, dtype=torch.bool)
    pixels[..., 6:] = 9.0
    valid[..., 6:] = False
    window = WindowSettings(size=(4, 4), overlap=0, score="mean")
    seen = []

    def watched(batch: Batch, drawn: ScoringNoise) -> Scores:
        seen.append(len(batch))
        return squares(batch, drawn)

    found = TileScores(watched, window)(Batch(pixels, valid), noise())
    assert float(found.parts["mean"].values) == 1.0
    assert seen == [2]
    assert torch.equal(found.maps["error"][valid], torch.ones(24))


def test_an_image_without_a_valid_pixel_has_a_score_all_the_same() -> None:
    batch = Batch(torch.ones(1, 1, 4, 8), torch.zeros(1, 1, 4, 8, dtype=torch.bool))

    def mean(tiles: Batch, drawn: ScoringNoise) -> Scores:
        return Scores({"mean": Part(tiles.images.flatten(1).mean(1))})

    for score in ("mean", "max"):
        window = WindowSettings.model_validate({"size": (4, 4), "score": score})
        assert float(TileScores(mean, window)(batch, noise()).parts["mean"].values) == pytest.approx(1.0)


def test_tiles_draw_from_the_image_s_stream_one_after_the_other() -> None:
    def drawn(batch: Batch, noise: ScoringNoise) -> Scores:
        return Scores({"drawn": Part(noise.normal((1,))[:, 0])})

    window = WindowSettings(size=(4, 4), overlap=0, score="mean")
    found = TileScores(drawn, window)(Batch(torch.zeros(1, 1, 4, 8)), noise()).parts["drawn"]
    stream = torch.Generator().manual_seed(1)
    expected = (torch.randn((), generator=stream) + torch.randn((), generator=stream)) / 2
    assert float(found.values) == pytest.approx(float(expected), abs=1e-6)

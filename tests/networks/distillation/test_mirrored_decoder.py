import pytest
import torch

from secondread.networks.distillation.mirrored_decoder import MirroredDecoder
from secondread.networks.distillation.one_class_bottleneck import OneClassBottleneck
from secondread.networks.distillation.residual_block import ResidualBlock, onto


def pair(channels, grids, form="basic", heads=0, blocks=1, squeeze=2):
    rank = len(grids[0])
    bottleneck = OneClassBottleneck(rank, channels, grids, form=form, squeeze=squeeze, blocks=blocks)
    decoder = MirroredDecoder(
        rank, (bottleneck.channels, bottleneck.grid), channels, grids,
        form=form, squeeze=squeeze, blocks=(blocks,) * len(channels), heads=heads,
    )  # fmt: skip
    return bottleneck, decoder


@pytest.mark.parametrize("form", ["basic", "bottleneck"])
@pytest.mark.parametrize(
    "grids",
    [
        ((16, 16), (8, 8), (4, 4)),
        ((13, 9), (7, 5), (4, 3)),  # odd lengths, rounded up
        ((31, 31), (15, 15), (7, 7)),  # and down, as pools without padding do
        ((16, 16), (4, 4), (4, 4)),  # a level left out, and two on one grid
        ((5, 8, 8), (5, 4, 4), (5, 2, 2)),  # slices of a volume
    ],
)
def test_the_decoder_gives_maps_in_the_shapes_of_the_levels(grids, form):
    channels = (4, 6, 8)
    bottleneck, decoder = pair(channels, grids, form, heads=2)
    maps = [torch.randn(2, width, *grid) for width, grid in zip(channels, grids, strict=True)]
    code = bottleneck(maps)
    assert code.shape == (2, bottleneck.channels, *bottleneck.grid) == (2, 16, *code.shape[2:])
    assert all(small <= large for small, large in zip(bottleneck.grid, grids[-1], strict=True))
    for head in decoder(code):
        assert [x.shape for x in head] == [x.shape for x in maps]


def test_without_heads_maps_are_not_negative_and_with_them_they_may_be():
    channels, grids = (4, 8), ((8, 8), (4, 4))
    maps = [torch.randn(2, 4, 8, 8), torch.randn(2, 8, 4, 4)]
    bottleneck, decoder = pair(channels, grids)
    assert all(float(x.detach().min()) >= 0 for x in decoder(bottleneck(maps))[0])
    bottleneck, decoder = pair(channels, grids, heads=1)
    assert any(float(x.detach().min()) < 0 for x in decoder(bottleneck(maps))[0])


def test_the_papers_bottleneck_and_decoder_have_its_parameter_counts():
    """Of a Wide-ResNet-50-2 at 256 px, counted by hand from the authors' layers."""
    channels, grids = (256, 512, 1024), ((64, 64), (32, 32), (16, 16))
    with torch.device("meta"):
        bottleneck = OneClassBottleneck(2, channels, grids, form="bottleneck", squeeze=2, blocks=3)
        decoder = MirroredDecoder(
            2, (2048, (8, 8)), channels, grids, form="bottleneck", squeeze=2, blocks=(3, 4, 6)
        )

    def block(before, after, inner, middle):
        convolutions = before * inner + middle * inner**2 + inner * after
        return convolutions + 2 * (2 * inner + after)

    paths = 9 * (256 * 512 + 2 * 512 * 1024) + 2 * (512 + 1024 + 1024)
    stage = block(3072, 2048, 1024, 9) + 3072 * 2048 + 2 * 2048 + 2 * block(2048, 2048, 1024, 9)
    assert sum(p.numel() for p in bottleneck.parameters()) == paths + stage
    expected = 0
    for before, after, depth in ((2048, 1024, 3), (1024, 512, 4), (512, 256, 6)):
        expected += block(before, after, after // 2, 4) + 4 * before * after + 2 * after
        expected += (depth - 1) * block(after, after, after // 2, 9)
    assert sum(p.numel() for p in decoder.parameters()) == expected
    code = bottleneck([torch.empty(2, c, *g, device="meta") for c, g in zip(channels, grids, strict=True)])
    assert code.shape == (2, 2048, 8, 8)
    (maps,) = decoder(code)
    assert [tuple(x.shape[1:]) for x in maps] == [(256, 64, 64), (512, 32, 32), (1024, 16, 16)]


def test_a_block_is_its_convolutions_and_its_shortcut():
    block = ResidualBlock(2, 3, 3, form="basic").eval()
    x = torch.randn(1, 3, 6, 6)
    with torch.no_grad():
        h = block.norms[0](block.layers[0](x)).relu()
        expected = (block.norms[1](block.layers[1](h)) + x).relu()
        torch.testing.assert_close(block(x), expected)
    assert block.shortcut is None


def test_a_map_is_cut_or_stretched_onto_a_grid():
    x = torch.arange(16.0).view(1, 1, 4, 4)
    torch.testing.assert_close(onto(x, (3, 4)), x[..., :3, :])
    assert onto(x, (5, 4)).shape == (1, 1, 5, 4)


def test_as_many_numbers_of_blocks_as_levels():
    with pytest.raises(ValueError, match="2 levels"):
        MirroredDecoder(2, (8, (2, 2)), (2, 4), ((8, 8), (4, 4)), form="basic", squeeze=2, blocks=(1, 1, 1))

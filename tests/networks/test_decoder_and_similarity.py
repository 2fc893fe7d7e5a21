import pytest
import torch

from secondread.networks.decoder import Decoder
from secondread.networks.structural_similarity import (
    multiscale_similarity,
    structural_similarity,
    structural_similarity_map,
)


def test_the_paper_decoder_gives_the_paper_shapes():
    with torch.device("meta"):
        decoder = Decoder(2, 1024, (512, 256, 64), 3, (256, 256))
        assert decoder(torch.empty(2, 1024, 16, 16)).shape == (2, 3, 256, 256)
    kernels = [tuple(p.shape) for name, p in decoder.named_parameters() if name.endswith("weight")]
    assert kernels == [
        (1024, 512, 2, 2),
        (512, 512, 3, 3),
        (512, 256, 2, 2),
        (256, 256, 3, 3),
        (256, 64, 2, 2),
        (64, 64, 3, 3),
        (64, 3, 2, 2),
    ]


def test_the_student_decoder_has_no_3x3_convolution():
    decoder = Decoder(2, 8, (8, 4), 1, (16, 16), tanh_everywhere=True)
    assert [tuple(p.shape[2:]) for p in decoder.parameters() if p.dim() > 1] == [(2, 2)] * 3


@pytest.mark.parametrize(("rank", "size"), [(2, (37, 30)), (3, (9, 17, 20))])
def test_a_decoder_ends_at_the_size_of_the_image_within_tanh(rank, size):
    image = Decoder(rank, 6, (4,), 2, size)(torch.randn(2, 6, *[5] * rank))
    assert image.shape == (2, 2, *size)
    assert (image.abs() <= 1).all()


@pytest.mark.slow  # for its import alone; below the same is computed plainly, over several scales
@pytest.mark.parametrize("size", [(24, 30), (12, 14, 16)])
def test_similarity_agrees_with_monai(size):
    from monai.metrics import SSIMMetric

    generator = torch.Generator().manual_seed(0)
    x = torch.rand(2, 1, *size, generator=generator)
    y = (x + 0.1 * torch.randn(x.shape, generator=generator)).clamp(0, 1)
    expected = SSIMMetric(spatial_dims=len(size), data_range=1.0, win_size=11, kernel_sigma=1.5)(
        x, y
    ).flatten()
    torch.testing.assert_close(structural_similarity(x, y), expected, atol=1e-4, rtol=1e-4)


def test_an_image_is_like_itself_and_a_small_image_shrinks_the_window():
    x = torch.rand(2, 1, 8, 20)
    torch.testing.assert_close(structural_similarity(x, x), torch.ones(2))
    assert structural_similarity_map(x, x).shape == (2, 1, 1, 10)


def test_padding_does_not_count():
    x = torch.rand(1, 1, 32, 32)
    y = x.clone()
    y[..., 20:] = 0
    valid = torch.ones(1, 1, 32, 32, dtype=torch.bool)
    valid[..., 20:] = False
    torch.testing.assert_close(structural_similarity(x, y, valid), torch.ones(1))
    assert float(structural_similarity(x, y)) < 0.9


def test_several_scales_multiply_the_mean_structure_of_each_to_its_weight():
    """Against a plain computation, scale by scale, with the windows of one axis after the other."""
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(2, 2, 24, 20, generator=generator)
    y = (x + 0.2 * torch.rand(x.shape, generator=generator)).clamp(0, 1)
    line = torch.exp(-((torch.arange(5) - 2.0) ** 2) / (2 * 1.5**2))
    kernel = (torch.outer(line, line) / line.sum() ** 2).expand(2, 1, 5, 5)

    def blur(z):
        return torch.nn.functional.conv2d(z, kernel, groups=2)

    product, a, b = torch.ones(2, 2), x, y
    for scale, weight in enumerate((0.2, 0.3, 0.5)):
        mx, my = blur(a), blur(b)
        vx, vy, v = blur(a * a) - mx**2, blur(b * b) - my**2, blur(a * b) - mx * my
        found = (2 * v + 0.03**2) / (vx + vy + 0.03**2)
        if scale == 2:
            found = found * (2 * mx * my + 0.01**2) / (mx**2 + my**2 + 0.01**2)
        product = product * found.mean(dim=(2, 3)).clamp_min(0) ** weight
        a, b = torch.nn.functional.avg_pool2d(a, 2), torch.nn.functional.avg_pool2d(b, 2)
    similarity = multiscale_similarity(x, y, (0.2, 0.3, 0.5), window=5)
    torch.testing.assert_close(similarity, product.mean(dim=1), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(multiscale_similarity(x, x, (0.5, 0.5)), torch.ones(2), rtol=1e-5, atol=1e-5)
    volume = torch.rand(1, 1, 8, 8, 8, generator=generator)
    assert multiscale_similarity(volume, volume, (0.5, 0.5), window=3).item() == pytest.approx(1, abs=1e-4)
    with pytest.raises(ValueError, match="3 scales need at least 4 pixels"):
        multiscale_similarity(x[..., :2], y[..., :2], (0.2, 0.3, 0.5))


def test_the_similarity_over_scales_leaves_padding_out():
    torch.manual_seed(3)
    x, y = torch.rand(2, 2, 24, 24).unbind(0)
    x, y = x[:, None], y[:, None]
    valid = torch.ones(2, 1, 24, 24, dtype=torch.bool)
    valid[..., 16:] = False
    whole = multiscale_similarity(x[..., :16], y[..., :16], (0.4, 0.6), window=3)
    padded = multiscale_similarity(x, y, (0.4, 0.6), valid, window=3)
    torch.testing.assert_close(padded, whole)
    assert bool(
        multiscale_similarity(x, y, (0.4, 0.6), valid & (torch.arange(24) < 1), window=3).isfinite().all()
    )

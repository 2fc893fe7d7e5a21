import pytest
import torch
from monai.metrics import SSIMMetric

from secondread.networks.decoder import Decoder
from secondread.networks.structural_similarity import structural_similarity, structural_similarity_map


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


@pytest.mark.parametrize("size", [(24, 30), (12, 14, 16)])
def test_similarity_agrees_with_monai(size):
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

import pytest
import torch
from scipy.ndimage import gaussian_filter

from secondread.networks.gaussian_blur import gaussian_blur


@pytest.mark.parametrize("size", [(20, 31), (7, 12, 9)])
def test_blur_agrees_with_scipy(size):
    x = torch.rand(2, 1, *size)
    expected = [gaussian_filter(image[0].numpy(), 1.5, mode="nearest", radius=4) for image in x]
    for blurred, reference in zip(gaussian_blur(x, 1.5), expected, strict=True):
        torch.testing.assert_close(blurred[0], torch.from_numpy(reference), atol=1e-5, rtol=1e-4)


def test_no_blur_changes_nothing():
    x = torch.rand(1, 1, 5, 5)
    assert gaussian_blur(x, 0) is x

import numpy as np
import pytest

from secondread.exporting.draws import Draw, drawn
from secondread.scoring.scorer import noise_for

DIGEST = "f0e1d2c3b4a59687" * 4


def test_uniform_numbers_are_torchs_own_one_draw_after_the_other():
    draws, noise = [Draw("uniform", (3, 5)), Draw("uniform", (7,))], noise_for([DIGEST])
    for draw, values in zip(draws, drawn(draws, DIGEST), strict=True):
        np.testing.assert_array_equal(values, noise.uniform(draw.shape).numpy())


@pytest.mark.parametrize("shape", [(1,), (4,), (3, 5), (16,), (4, 8), (5, 7), (1, 1001)])
def test_normal_numbers_are_torchs_own_to_rounding(shape):
    draws, noise = [Draw("normal", shape), Draw("uniform", (3,))], noise_for([DIGEST])
    normal, after = drawn(draws, DIGEST)
    np.testing.assert_allclose(normal, noise.normal(shape).numpy(), rtol=1e-5, atol=2e-6)
    np.testing.assert_array_equal(after, noise.uniform((3,)).numpy())


def test_the_number_that_is_left_over_is_the_next_one():
    draws, noise = [Draw("normal", (3,)), Draw("normal", (32,)), Draw("normal", (2,))], noise_for([DIGEST])
    for draw, values in zip(draws, drawn(draws, DIGEST), strict=True):
        np.testing.assert_allclose(values, noise.normal(draw.shape).numpy(), rtol=1e-5, atol=2e-6)

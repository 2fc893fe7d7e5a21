"""A coupling's network in AMX tiles is that of matrices on neighbourhoods, exactly where bf16 is exact."""

import pytest
import torch

from secondread.flows.glow.coupling_net import NetWeights, run_backward, run_forward
from secondread.flows.glow.native import TileKernel, form_of, native, why_not
from secondread.networks.native import build

HERE = form_of(torch.bfloat16)
pytestmark = pytest.mark.skipif(
    not isinstance(native(torch.bfloat16), TileKernel), reason=f"not AMX: {HERE or why_not(torch.bfloat16)}"
)
NAMES = ("x", "first", "middle", "middle_bias", "last", "last_bias", "border")

CASES = [  # size, images, channels in and out, width, border
    ((64, 64), 2, 2, 4, 128, True),
    ((5, 7), 3, 1, 2, 32, True),
    ((5, 7), 1, 3, 1, 64, False),
    ((1, 1), 1, 1, 1, 32, True),
    ((3, 1), 5, 2, 2, 32, True),
    ((33, 17), 2, 20, 20, 96, True),
    ((1, 100), 2, 5, 3, 160, False),
    ((16, 16), 1, 2, 4, 512, True),
    ((3, 5, 7), 2, 2, 4, 64, True),
    ((4, 4, 4), 3, 4, 2, 32, False),
    ((2, 32, 16), 1, 4, 8, 128, True),
    ((6, 5, 20), 1, 16, 20, 96, True),
    ((1, 1, 40), 1, 1, 1, 32, True),
]
ROUNDED = [(24, 40), (6, 10, 12)]  # sizes


def whole_numbers(size, images, channels_in, channels_out, width, border, seed=0):
    """x, weights and a gradient so small and sparse that every hidden value is exact in bfloat16."""
    generator = torch.Generator().manual_seed(seed)
    taps = 3 ** len(size)

    def draw(*shape, share=1.0, most=1):
        values = torch.randint(-most, most + 1, shape, generator=generator).float()
        return values * (torch.rand(shape, generator=generator) < share)

    rows_in, rows_out = (channels_in + border) * taps + 1, channels_out * taps
    first = draw(width, rows_in, share=min(1.0, 6 / rows_in))
    middle = draw(width, width, share=4 / width)
    last = draw(rows_out, width, share=min(0.5, 8 / max(width, rows_out)))
    weights = (first, middle, draw(width, most=2), last)
    x, gradient = draw(channels_in, images, *size, most=2), draw(channels_out, images, *size, most=2)
    return (
        x,
        NetWeights(
            *(weight.bfloat16() for weight in weights),
            draw(channels_out, most=3),
            draw(channels_out, taps, most=3) if border else None,
        ),
        gradient,
    )


def drawn(size=(24, 40), images=2, channels_in=2, channels_out=4, width=128, seed=0):
    """As in a trained network: normal weights, hidden values of about 1."""
    generator = torch.Generator().manual_seed(seed)
    taps = 3 ** len(size)
    rows = (channels_in + 1) * taps + 1

    def draw(*shape, scale=1.0):
        return scale * torch.randn(shape, generator=generator)

    weights = NetWeights(
        draw(width, rows, scale=rows**-0.5).bfloat16(),
        draw(width, width, scale=(2 / width) ** 0.5).bfloat16(),
        draw(width, scale=0.1).bfloat16(),
        draw(channels_out * taps, width, scale=width**-0.5).bfloat16(),
        draw(channels_out),
        draw(channels_out, taps),
    )
    return draw(channels_in, images, *size), weights, draw(channels_out, images, *size)


def six(weights):
    return tuple(getattr(weights, name) for name in NAMES[1:])


def in_float64(weights):
    return NetWeights(*(None if value is None else value.double() for value in six(weights)))


def matrices(x, weights, gradient):
    """Output and gradients by matrices in bfloat16."""
    to_x, found = run_backward(x, weights, gradient, None)
    return run_forward(x, weights), (to_x, *six(found))


def exactly(x, weights, gradient):
    """Output and gradients by matrices in float64, from the same rounded weights."""
    return matrices(x.double(), in_float64(weights), gradient.double())


def coarseness(given, found, slopes):
    """How coarsely an output and gradients are rounded, as a share of what is allowed: 0.005 of the output,
    and nowhere more than 1.1 times the error of matrices in bfloat16 (where those are not compiled too)."""

    def error(value, reference):
        found = (value.double() - reference).norm() / reference.norm()
        return float(found.nan_to_num(nan=torch.inf))  # `max` could overlook what is not a number

    (expected, expected_slopes), (other, other_slopes) = exactly(*given), matrices(*given)
    allowed = [min(0.005, 1.1 * error(other, expected))]
    allowed += [1.1 * error(*each) + 1e-5 for each in zip(other_slopes, expected_slopes, strict=True)]
    errors = list(map(error, (found, *slopes), (expected, *expected_slopes)))
    return max(one / most for one, most in zip(errors, allowed, strict=True))


def not_a_number(sign):
    """A network that is given what is not a number in one place."""
    x, weights, gradient = drawn()
    x[0, 0, 5, 5] = torch.copysign(torch.tensor(torch.nan), torch.tensor(sign))
    return x, weights, gradient


def shows_what_is_not_a_number(out, slopes):
    """Where the network sees it and nowhere else, and in the gradients of all weights."""
    near, other = out[:, 0, 4:7, 4:7].isnan(), out[:, 1].isnan()
    seen = (slopes[NAMES.index(name)] for name in ("first", "middle", "last"))
    return bool(near.all()) and not bool(other.any()) and all(bool(each.isnan().any()) for each in seen)


def compiled(x, weights, gradient, **options):
    kernel = native(torch.bfloat16)
    return kernel.forward(x, *six(weights)), kernel.backward(x, *six(weights), gradient, **options)


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("threads", [1, 3])
def test_whole_numbers_come_out_exactly(case, threads):
    given = whole_numbers(*case)
    expected, slopes = exactly(*given)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        found, found_slopes = compiled(*given)
    finally:
        torch.set_num_threads(before)
    assert float(expected.abs().max()) > 0
    torch.testing.assert_close(found.double(), expected, rtol=0, atol=0)
    for name, value, reference in zip(NAMES, found_slopes, slopes, strict=True):
        if reference is None:
            assert value is None
            continue
        torch.testing.assert_close(
            value.double(), reference, rtol=0, atol=0, msg=lambda text, name=name: f"{name}: {text}"
        )


@pytest.mark.parametrize("size", ROUNDED)
def test_rounding_is_no_coarser_than_that_of_matrices_in_bfloat16(size, monkeypatch):
    monkeypatch.setenv(build.SWITCH, "1")
    given = drawn(size)
    found = compiled(*given)
    monkeypatch.setenv(build.SWITCH, "0")
    assert coarseness(given, *found) <= 1


def test_the_same_call_gives_the_same_bits():
    given = drawn((32, 48))
    before = torch.get_num_threads()
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            (out, slopes), (again, slopes_again) = compiled(*given), compiled(*given)
            assert torch.equal(out, again)
            assert all(torch.equal(a, b) for a, b in zip(slopes, slopes_again, strict=True))
    finally:
        torch.set_num_threads(before)


def test_a_gradient_of_the_input_that_nobody_asks_for_is_not_made():
    given = drawn()
    _, (with_input, *others) = compiled(*given)
    _, (without, *same) = compiled(*given, to_input=False)
    assert with_input is not None
    assert without is None
    assert all(torch.equal(a, b) for a, b in zip(others, same, strict=True))


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_what_is_not_a_number_is_not_hidden(sign):
    """Neither in the input nor from weights that overflow: a fit must see that its step has failed."""
    assert shows_what_is_not_a_number(*compiled(*not_a_number(sign)))
    x, weights, gradient = drawn()
    weights.first[0, 0], weights.first[0, 1] = torch.inf, -torch.inf
    assert bool(compiled(x, weights, gradient)[0].isnan().any())


def test_what_it_does_not_take_is_refused():
    x, weights, gradient = drawn()
    kernel = native(torch.bfloat16)
    assert kernel.takes(x, weights.middle)
    assert not kernel.takes(x.double(), weights.middle)
    assert not kernel.takes(x, weights.middle.float())
    assert not kernel.takes(x, weights.middle[:48, :48])
    with pytest.raises(ValueError, match="a width that 32 divides"):
        kernel.forward(x, weights.first, weights.middle[:48, :48], *six(weights)[2:])
    with pytest.raises(ValueError, match=r"x is .* not contiguous"):
        kernel.forward(x.movedim(-1, -2).contiguous().movedim(-1, -2), *six(weights))
    with pytest.raises(ValueError, match="gradient is"):
        kernel.backward(x, *six(weights), gradient[:, :1])
    with pytest.raises(ValueError, match="first is"):
        kernel.forward(x[:1], *six(weights))

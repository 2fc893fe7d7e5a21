"""A coupling's network in vectors is that of matrices on neighbourhoods, exactly for whole numbers."""

import platform

import pytest
import torch

from secondread.flows.glow.coupling_net import CouplingNet
from secondread.flows.glow.native import COUPLING
from secondread.flows.glow.native.forms import FORMS, VECTORS
from secondread.flows.glow.network import LOGS, Compiled, Folded
from secondread.networks.native import build
from secondread.networks.native.forms import features, find_form, vectors

HALF, SINGLE = torch.bfloat16, torch.float32
CASES = [  # size, images, channels in and out, width, border
    ((32, 36), 2, 2, 4, 128, True),
    ((5, 7), 3, 1, 2, 30, True),
    ((5, 7), 1, 3, 1, 65, False),
    ((1, 1), 1, 1, 1, 32, True),
    ((3, 1), 5, 2, 2, 7, True),
    ((33, 17), 2, 20, 20, 96, True),
    ((1, 100), 2, 5, 3, 160, False),
    ((9, 9), 1, 2, 4, 260, True),
    ((3, 5, 7), 2, 2, 4, 64, True),
    ((4, 4, 4), 3, 4, 2, 32, False),
    ((2, 16, 16), 1, 4, 8, 128, True),
    ((6, 5, 20), 1, 16, 20, 33, True),
    ((1, 1, 40), 1, 1, 1, 32, True),
]
ROUNDED = [((24, 40), 0), ((24, 40), 1), ((6, 10, 12), 0), ((6, 10, 12), 1)]  # size, seed


def own_form():
    form = find_form(FORMS, SINGLE)
    return None if isinstance(form, str) or build._compiler() is None else form


def pairs_form():
    """The forms in bfloat16 in what an older processor has: pairs in lanes, multiplied by shifts."""
    if not features().issuperset(("avx2", "fma3")) or build._compiler() is None:
        return None
    flags = ("-mavx2", "-mfma", "-O1")
    name = "pairs by shifts"
    return vectors(VECTORS, name, platform.machine(), HALF, (), flags, lanes=8, wide=2, rows=4)


MADE = {"own": own_form(), "pairs": pairs_form()}


@pytest.fixture(scope="module", params=list(MADE))
def made(request):
    """A kernel and its precision."""
    form = MADE[request.param]
    if form is None:
        pytest.skip("cannot be compiled or run here")
    found = COUPLING.built(form)
    assert not isinstance(found, str), found
    return found[0], form.precision


def drawn(size, images, channels_in, channels_out, width, border, seed=0):
    """As in a trained network: hidden values of about 1, every parameter away from its start."""
    generator = torch.Generator().manual_seed(seed)
    net = CouplingNet(len(size), channels_in, channels_out, width, border=border, generator=generator)
    with torch.no_grad():
        for parameter in net.parameters():
            scale = 0.2 if parameter.ndim < 2 else parameter[0].numel() ** -0.5
            parameter.copy_(scale * torch.randn(parameter.shape, generator=generator))
    values = [value.detach() for value in net.values()]
    x = torch.randn(channels_in, images, *size, generator=generator)
    return x, values, torch.randn(channels_out, images, *size, generator=generator)


def whole_numbers(size, images, channels_in, channels_out, width, border, seed=0):
    """So small and sparse that every value is exact in bfloat16 and every sum in float32; gains of one."""
    generator = torch.Generator().manual_seed(seed)

    def draw(shape, share=1.0, most=1):
        found = torch.randint(-most, most + 1, shape, generator=generator).float()
        return found * (torch.rand(shape, generator=generator) < share)

    net = CouplingNet(len(size), channels_in, channels_out, width, border=border)
    values = [value.detach() for value in net.values()]
    shares = {0: 6 / values[0][0].numel(), 3: 4 / width, 6: 8 / max(width, values[6][..., 0].numel())}
    for at, value in enumerate(values):
        values[at] = torch.zeros(value.shape) if at in LOGS else draw(value.shape, shares.get(at, 1.0), 1)
    x = draw((channels_in, images, *size), most=2)
    return x, values, draw((channels_out, images, *size), most=2)


def exactly(x, values, gradient):
    """Output and gradients by matrices in float64."""
    network = Folded([value.double() for value in values], torch.float64)
    to_x, found = network.backward(x.double(), gradient.double())
    return [network.forward(x.double()), to_x, *found]


def compiled(kernel, dtype, x, values, gradient):
    network = Compiled(values, dtype, kernel)
    to_x, found = network.backward(x, gradient)
    return [network.forward(x), to_x, *found]


def error(value, reference):
    """Relative; infinite where something is not a number, which `max` could overlook."""
    found = (value.double() - reference).norm() / reference.norm().clamp_min(1e-30)
    return float(found.nan_to_num(nan=torch.inf))


def coarseness(networks, results):
    """How coarsely results are rounded, as a share of what is allowed: 0.01 of an output, and nowhere more
    than 1.1 times the error of matrices in bfloat16. Against float64 on weights that are not rounded, on
    average over the networks: hidden values near zero, which fall on one side or the other, decide much of
    one network's error."""
    total, outputs = torch.zeros(2, 12), []
    for (x, values, gradient), found in zip(networks, results, strict=True):
        expected, network = exactly(x, values, gradient), Folded(values, HALF)
        to_x, slopes = network.backward(x, gradient)
        matrices = [network.forward(x), to_x, *slopes]
        total += torch.tensor([list(map(error, each, expected)) for each in (found, matrices)])
        outputs.append(error(found[0], expected[0]) / 0.01)
    return max(*outputs, float((total[0] / (1.1 * total[1] + 0.001)).max()))


def not_a_number(sign, case=CASES[0]):
    """A network that is given what is not a number in one place."""
    x, values, gradient = drawn(*case)
    x[0, 0, 5, 5] = torch.copysign(torch.tensor(torch.nan), torch.tensor(sign))
    return x, values, gradient


def shows_what_is_not_a_number(out, _, *slopes):
    """Where the network sees it and nowhere else, and in the gradients of all weights."""
    near, other = out[:, 0, 4:7, 4:7].isnan(), out[:, 1].isnan()
    seen = (slopes[at] for at in (0, 3, 6))
    return bool(near.all()) and not bool(other.any()) and all(bool(each.isnan().any()) for each in seen)


@pytest.fixture(params=[1, 3])
def threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_whole_numbers_come_out_exactly(made, case, threads):
    given = whole_numbers(*case)
    expected = exactly(*given)
    assert float(expected[0].abs().max()) > 0
    for found, reference in zip(compiled(*made, *given), expected, strict=True):
        torch.testing.assert_close(found.double(), reference, rtol=0, atol=0)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_output_and_gradients_are_those_of_matrices(made, case):
    """To 2e-6 of their norm; where operands are rounded, see the next test."""
    if made[1] is SINGLE:
        given = drawn(*case)
        assert max(map(error, compiled(*made, *given), exactly(*given))) < 2e-6


def test_rounding_is_no_coarser_than_that_of_matrices_in_bfloat16(made):
    if made[1] is not SINGLE:
        networks = [drawn(size, 2, 2, 4, 128, border=True, seed=seed) for size, seed in ROUNDED]
        assert coarseness(networks, [compiled(*made, *given) for given in networks]) < 1


def test_the_same_call_gives_the_same_bits(made, threads):
    given = drawn(*CASES[0])
    once, again = compiled(*made, *given), compiled(*made, *given)
    assert all(torch.equal(a, b) for a, b in zip(once, again, strict=True))


def test_a_gradient_of_the_input_that_nobody_asks_for_is_not_made(made):
    x, values, gradient = drawn(*CASES[1])
    _, expected = made[0].backward(x, values, gradient)
    without, found = made[0].backward(x, values, gradient, to_input=False)
    assert without is None
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_what_is_not_a_number_is_not_hidden(made, sign):
    """Neither in the input nor from weights that overflow: a fit must see that its step has failed."""
    assert shows_what_is_not_a_number(*compiled(*made, *not_a_number(sign)))
    for at in (0, 3):
        x, values, gradient = drawn(*CASES[0])
        values[at].flatten()[0] = sign * torch.inf
        assert bool(compiled(*made, x, values, gradient)[0].isnan().any())


def test_what_it_does_not_take_is_refused(made):
    kernel, _ = made
    x, values, gradient = drawn(*CASES[1])
    with pytest.raises(ValueError, match=r"x is .* not contiguous"):
        kernel.forward(x.movedim(-1, -2).contiguous().movedim(-1, -2), values)
    with pytest.raises(ValueError, match="expected planes"):
        kernel.forward(x[..., 0], values)
    with pytest.raises(ValueError, match="gradient is"):
        kernel.backward(x, values, gradient[:, :1])
    with pytest.raises(ValueError, match="first is"):
        kernel.forward(x.repeat(2, 1, 1, 1), values)
    with pytest.raises(ValueError, match="middle is"):
        kernel.forward(x, [value.double() if at == 3 else value for at, value in enumerate(values)])

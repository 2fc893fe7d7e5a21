"""On shared weights, log-likelihoods and gradients equal those of normflows and FrEIA where layers coincide.

Neither has a border channel, so there is none here. Their parameters are made from ours, so that autograd
carries their gradients to our parameters.
"""

import math

import FrEIA.modules
import pytest
import torch
from made_glow import images, make_glow
from normflows_glow import make_normflows_glow, normflows_state
from torch import nn
from torch.func import functional_call

# normflows factorises by a deprecated function of torch
pytestmark = pytest.mark.filterwarnings("ignore:torch.lu is deprecated")

UNIT = {"border": False, "split_prior": "unit", "top_prior": "unit"}


def assert_same(glow, x, found, expected):
    torch.testing.assert_close(found, expected)
    given = [x, *glow.parameters()]
    names = ["x", *(name for name, _ in glow.named_parameters())]
    slopes = torch.autograd.grad(found.sum(), given)
    theirs = torch.autograd.grad(expected.sum(), given)
    for name, own, other in zip(names, slopes, theirs, strict=True):
        torch.testing.assert_close(own, other, msg=lambda text, name=name: f"{name}: {text}")


@pytest.mark.parametrize("mixing", ["plain", "lu"])
@pytest.mark.parametrize("scheme", ["glow", "additive"])
@pytest.mark.parametrize("memory", ["recompute", "store", "invert"])
def test_glow_of_normflows(mixing, scheme, memory):
    form = {"levels": 3, "depth": 3, "width": 8}
    glow = make_glow(2, scheme=scheme, mixing=mixing, size=(8, 16), memory=memory, channels=3, **form, **UNIT)
    theirs = make_normflows_glow(
        3, (8, 16), **form, use_lu=mixing == "lu", scale=scheme == "glow", scale_map="sigmoid"
    ).double()
    x = images(glow).requires_grad_()
    expected = -functional_call(theirs, normflows_state(glow, theirs), (x,))
    assert_same(glow, x, glow.log_density(x), expected)


def test_one_matrix_learned_plainly_or_by_its_factors():
    form = {"levels": 2, "depth": 2, "width": 8}
    glow = make_glow(2, size=(8, 8), **form, **UNIT)
    theirs = make_normflows_glow(1, (8, 8), **form, use_lu=True).double()
    x = images(glow).requires_grad_()
    assert_same(glow, x, glow.log_density(x), -functional_call(theirs, normflows_state(glow, theirs), (x,)))


class FreiaStep(nn.Module):
    """FrEIA's actnorm, linear map of channels and coupling, on the parameters of one of our steps.

    Its affine coupling is x_2 exp(c tanh(a_1 / 10)) + a_2 / 10, ours (x_2 + t) exp(b tanh(h / b)): with
    c = b, a_1 = 10 h / b and a_2 = 10 t exp(b tanh(h / b)).
    """

    def __init__(self, step, shape, bound):
        super().__init__()
        rank = len(shape) - 1
        net, self.mixing = step.net, step.mixing
        self.norm = FrEIA.modules.ActNorm([shape])
        self.norm.init_on_next_batch = False
        matrix = self.mixing.matrix()
        if rank == 2:
            self.mix = FrEIA.modules.Fixed1x1Conv([shape], M=matrix.detach().t())
        else:
            self.mix = FrEIA.modules.PermuteRandom([shape])
            self.mix.perm.data.copy_(matrix.argmax(dim=1))
        self.couple = FrEIA.modules.AllInOneBlock(
            [shape],
            subnet_constructor=lambda *_: Coefficients(net, rank, bound),
            affine_clamping=bound,
            global_affine_type="EXP",
        ).double()
        self.couple.w_perm.data.copy_(torch.eye(shape[0]).view_as(self.couple.w_perm))

    def forward(self, x):
        each = (1, -1, *[1] * (x.dim() - 2))
        mixing = self.mixing
        norm = {
            "scale": mixing.log_scale.view(each),
            "bias": (mixing.bias * mixing.log_scale.exp()).view(each),
        }
        (x,), first = functional_call(self.norm, norm, ([x],))
        mix = {}
        if x.dim() == 4:
            weight = mixing.matrix()
            mix = {"M": weight[..., None, None], "logDetM": torch.linalg.slogdet(weight)[1]}
        (x,), second = functional_call(self.mix, mix, ([x],))
        (x,), third = self.couple([x])
        return x, first + second + third


class Coefficients(nn.Module):
    """What FrEIA's coupling asks of a network, from the convolutions that ours stands for."""

    def __init__(self, net, rank, bound):
        super().__init__()
        self.net, self.rank, self.bound = net, rank, bound

    def forward(self, x):
        net, axes = self.net, list(range(1, 1 + self.rank))
        convolution = nn.functional.conv2d if self.rank == 2 else nn.functional.conv3d
        each = (-1, *[1] * self.rank)
        x = convolution(x, net.first_weight, net.first_bias, padding=1)
        x = torch.relu(x * torch.exp(3 * net.first_log_scale).view(each))
        x = convolution(x, net.middle_weight[(..., *[None] * self.rank)], net.middle_bias)
        x = torch.relu(x * torch.exp(3 * net.middle_log_scale).view(each))
        last = net.last_weight.flip(axes).permute(0, -1, *axes)
        x = convolution(x, last, net.last_bias, padding=1)
        shift, h = (x * torch.exp(3 * net.last_log_scale).view(each)).chunk(2, dim=1)
        scale = torch.exp(self.bound * torch.tanh(h / self.bound))
        return torch.cat((10 * h / self.bound, 10 * shift * scale), dim=1)


def freia_log_density(glow, x):
    """Their actnorm, downsampling, linear maps and couplings; splits and unit Gaussians written out."""
    total = torch.zeros(len(x), dtype=torch.float64)
    for number, level in enumerate(glow.levels):
        x = FrEIA.modules.IRevNetDownsampling([tuple(x.shape[1:])]).double()([x])[0][0]
        for step in level.steps:
            x, log_determinant = FreiaStep(step, tuple(x.shape[1:]), glow.scale.bound).double()(x)
            total = total + log_determinant
        z = x
        if number < len(glow.levels) - 1:
            x, z = x.chunk(2, dim=1)
        total = total - 0.5 * (z.square() + math.log(2 * math.pi)).flatten(1).sum(dim=1)
    return total


@pytest.mark.parametrize("mixing", ["plain", "lu"])
@pytest.mark.parametrize("memory", ["recompute", "store", "invert"])
def test_layers_of_freia(mixing, memory):
    glow = make_glow(2, scheme="exp", mixing=mixing, memory=memory, size=(8, 16), channels=3, **UNIT)
    x = images(glow).requires_grad_()
    assert_same(glow, x, glow.log_density(x), freia_log_density(glow, x))


def test_layers_of_freia_in_three_dimensions():
    """Its linear maps and its downsampling are 2-D alone, so W is a permutation and there is one level."""
    shape = (8, 2, 3, 4)
    glow = make_glow(3, scheme="exp", size=(4, 6, 8), levels=1, depth=2, **UNIT)
    with torch.no_grad():
        for seed, step in enumerate(glow.levels[0].steps):
            order = torch.randperm(8, generator=torch.Generator().manual_seed(seed))
            step.mixing.weight.copy_(torch.eye(8)[order])
        x = images(glow)
        state, total = x, 0.0
        parts = [state[:, :, i::2, j::2, k::2] for i in (0, 1) for j in (0, 1) for k in (0, 1)]
        state = torch.stack(parts, dim=2).flatten(1, 2)
        for step in glow.levels[0].steps:
            state, log_determinant = FreiaStep(step, shape, glow.scale.bound).double()(state)
            total = total + log_determinant
        latents, found = glow.transform(x)
    torch.testing.assert_close(latents[0], state)
    torch.testing.assert_close(found, total)

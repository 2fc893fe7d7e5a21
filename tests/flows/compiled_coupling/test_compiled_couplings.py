"""Compiled couplings against those of torch."""

import copy
import weakref
from functools import partial

import pytest
import torch

from secondread.flows.compiled_coupling.kernel import CODE, CouplingsKernel
from secondread.flows.compiled_coupling.packed import KEPT
from secondread.flows.elementwise import Additive
from secondread.flows.flow import Flow
from secondread.flows.subnets import ConvSubnet
from secondread.networks.native import build

COMPILED = CODE
CASES = [  # channels, hidden, kernels, batch, rows, columns
    (7, 9, (3, 1), 3, 5, 6),
    (16, 40, (3, 3), 2, 1, 9),
    (33, 130, (1, 1), 1, 4, 2),
]


def flow(channels=6, hidden=8, kernels=(3, 1), **settings):
    """Whose coefficients reach beyond where tanh is straight."""
    made = Flow(
        2, channels, blocks=3, subnet=[partial(ConvSubnet, 2, hidden=hidden, kernels=kernels)], **settings
    )
    for block in made.blocks:
        torch.nn.init.normal_(block.offset)
        torch.nn.init.normal_(block.scale_before_softplus, 9.0)
        with torch.no_grad():
            for values in block.subnet[2].parameters():
                values.mul_(30)
    return made.eval()


@torch.no_grad()
@pytest.mark.parametrize("case", CASES)
def test_both_agree_whatever_the_threads_and_the_batch(calls, case, monkeypatch):
    *sizes, images, rows, columns = case
    made, x = flow(*sizes), torch.randn(images, sizes[0], rows, columns)
    found = made.transform(x)
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        again, alone = made.transform(x), made.transform(x[-1:])
    finally:
        torch.set_num_threads(before)
    assert len(calls) == 3
    assert all(map(torch.equal, found, again))
    assert all(torch.equal(one[-1:], other) for one, other in zip(found, alone, strict=True))
    monkeypatch.setenv(build.SWITCH, "0")
    for one, other in zip(found, made.transform(x), strict=True):
        assert one.shape == other.shape
        torch.testing.assert_close(one, other, rtol=0, atol=1e-5 * float(other.abs().max()))


def test_what_is_not_a_number_is_seen_where_it_is_with_gradients(calls):
    made, x = flow(), torch.randn(1, 6, 9, 5)
    x[0, 0, 1, 3] = torch.nan
    with torch.no_grad():
        found = made.transform(x)
    for one, other in zip(found, made.transform(x), strict=True):
        assert torch.equal(one.isnan(), other.isnan())
        assert 0 < one.isnan().sum() < one.numel()
    assert len(calls) == 1


@torch.no_grad()
def test_a_parameter_that_changes_counts_at_once(calls, monkeypatch):
    made, x = flow(), torch.randn(1, 6, 4, 4)
    made.transform(x)
    copied = copy.deepcopy(made)
    block = made.blocks[1]
    for values in (block.offset, block.scale_before_softplus, block.subnet[0].bias):
        values.add_(0.5)
        monkeypatch.setenv(build.SWITCH, "1")
        found = made.transform(x)
        monkeypatch.setenv(build.SWITCH, "0")
        for one, other in zip(found, made.transform(x), strict=True):
            torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)
    monkeypatch.setenv(build.SWITCH, "1")
    assert not torch.equal(copied.transform(x)[0], found[0])
    assert len(calls) == 5


@torch.no_grad()
def test_what_a_call_reads_lives_as_long_whatever_another_thread_packs_meanwhile(calls, monkeypatch):
    made, x = flow(), torch.randn(1, 6, 4, 4)
    expected, run = made.transform(x), CouplingsKernel.__call__
    read = []

    def meanwhile(*given):
        kept = [part.__dict__.pop(KEPT) for part in made.modules() if KEPT in part.__dict__]
        read.extend(weakref.ref(tensor) for one in kept for tensor in one.found.tensors)
        del kept
        assert all(tensor() is not None for tensor in read)
        return run(*given)

    monkeypatch.setattr(CouplingsKernel, "__call__", meanwhile)
    assert all(map(torch.equal, made.transform(x), expected))
    assert read


def test_torch_runs_where_compiled_code_does_not_suit(calls):
    x = torch.randn(1, 6, 4, 4)
    flow().transform(x)[0].sum().backward()
    with torch.no_grad():
        flow().transform(torch.randn(1, 6, 16, 16))
        flow(positions=(4, 4)).transform(x)
        flow(mixing="rotation").transform(x)
        Flow(2, 6, blocks=1, hidden=8, elementwise=Additive()).transform(x)
        with torch.autocast("cpu", torch.bfloat16):
            flow().transform(x)
    assert not calls

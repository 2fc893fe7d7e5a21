import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from secondread.exporting.no_graph import NoGraphError
from secondread.exporting.tape import Tape

EXAMPLE = torch.linspace(-1, 1, 2 * 3 * 6 * 8).view(2, 3, 6, 8).sin()
BOTH = torch.tensor([2, 0, 2])
OTHER = torch.linspace(2, -1, 2 * 3 * 6 * 8).view(2, 3, 6, 8).cos()


def compare(compute, example=EXAMPLE, other=OTHER, **close) -> None:
    """Written on one example, a graph says of another what torch says."""
    with torch.no_grad(), Tape() as tape:
        given = example.clone()
        tape.input("x", given)
        tape.output("y", compute(given))
    session = onnxruntime.InferenceSession(tape.graph.model().SerializeToString())
    (found,) = session.run(None, {"x": other.numpy()})
    wanted = compute(other.clone()).numpy()
    assert found.dtype == wanted.dtype
    np.testing.assert_allclose(found, wanted, **{"rtol": 1e-5, "atol": 2e-6} | close)


def in_a_view(x: Tensor) -> Tensor:
    y = x * 2
    y[:, 1, ::2] += x[:, 0, ::2]
    return y


def into_a_constant(x: Tensor) -> Tensor:
    total = torch.zeros(3, 6, 8)
    total[1:] += x[0, 1:]
    return total


def a_view_of_what_changed(x: Tensor) -> Tensor:
    y = x + 1
    seen = y[:, 2]
    y.mul_(3)
    return seen


def into_given_memory(x: Tensor) -> Tensor:
    columns = torch.empty(3, 6)
    for row in range(3):
        torch.mm(x[0, row], torch.ones(8, 1), out=columns[row].view(6, 1))
    return columns


def a_gradient(x: Tensor) -> Tensor:
    with torch.enable_grad():
        y = x.detach().requires_grad_()
        kernel = torch.ones(4, 3, 3, 3) / 27
        energy = (
            functional.leaky_relu(functional.conv2d(y, kernel, stride=2, padding=1)).tanh().square().sum()
        )
        return torch.autograd.grad(energy, y)[0]


WAYS = {
    "in a view": in_a_view,
    "into a constant": into_a_constant,
    "a view of what changed": a_view_of_what_changed,
    "into given memory": into_given_memory,
    "a gradient": a_gradient,
    "an index": lambda x: x[:, torch.tensor([2, 0]), torch.tensor([5, -1])],
    "indices apart": lambda x: x[torch.tensor([1, 0]), :, torch.tensor([5, 2])],
    "an index by value": lambda x: x[torch.arange(2), x.mean((2, 3)).argmax(1)],
    "windows": lambda x: x.unfold(3, 3, 2),
    "columns": lambda x: functional.unfold(x, 3, padding=1, stride=2),
    "reflected": lambda x: functional.pad(x, (2, 1, 1, 2), mode="reflect"),
    "repeated edge": lambda x: functional.pad(x, (2, 1, 1, 2), mode="replicate"),
    "rolled": lambda x: x.roll((1, -2), (2, 3)),
    "flipped": lambda x: x.flip(2, 3),
    "diagonal": lambda x: x.diagonal(dim1=2, dim2=3),
    "uneven cells": lambda x: functional.adaptive_avg_pool2d(x, (4, 3)),
    "bilinear": lambda x: functional.interpolate(x, size=(9, 5), mode="bilinear"),
    "bilinear by factor": lambda x: functional.interpolate(x, scale_factor=1.7, mode="bilinear"),
    "corners": lambda x: functional.interpolate(x, size=(9, 5), mode="bilinear", align_corners=True),
    "bicubic": lambda x: functional.interpolate(x, size=(9, 5), mode="bicubic"),
    "nearest": lambda x: functional.interpolate(x, size=(9, 5), mode="nearest"),
    "trilinear": lambda x: functional.interpolate(x[None], size=(5, 9, 4), mode="trilinear"),
    "median": lambda x: x.median(dim=2).values,
    "ranks": lambda x: x.sort(dim=3, descending=True).values,
    "where largest": lambda x: x.flatten(1).topk(4, dim=1).indices,
    "log of sums": lambda x: x.logsumexp((1, 2)),
    "log of probabilities": lambda x: x.log_softmax(1),
    "spread": lambda x: torch.stack(torch.var_mean(x, dim=(2, 3))),
    "running sum": lambda x: x.cumsum(2),
    "log near one": lambda x: (x * 1e-6).log1p() + (x * 1e-6).expm1() + x.expm1(),
    "soft functions": lambda x: functional.softplus(x, beta=2) + functional.gelu(functional.logsigmoid(x)),
    "more of them": lambda x: functional.silu(x) + functional.elu(x) + functional.hardtanh(x, -0.5, 0.3),
    "columns, then planes": lambda x: x.index_select(3, BOTH).index_select(1, BOTH),
    "bounds that are tensors": lambda x: x.clamp(x.mean(0), torch.tensor(0.4)),
    "spectrum": lambda x: torch.view_as_real(torch.fft.rfftn(x, dim=(2, 3))),
    "distances": lambda x: torch.cdist(x[0].flatten(1), x[1].flatten(1)),
    "all or any": lambda x: (x > 0).all(3) | (x < -0.9).any(3),
    "whole numbers": lambda x: (x * 5).round().long() // 2 % 3,
    "kinds": lambda x: torch.where(x > 0, x, (x > -0.5).double()),
    "signs": lambda x: x.abs().log1p().copysign(x) + x.copysign(-2.0),
    "filled": lambda x: x.masked_fill(x > 0.5, -1).lerp(x, 0.25).addcmul(x, x, value=0.5),
    "scattered": lambda x: torch.zeros(2, 3, 6, 8).scatter(1, x.argmax(1, keepdim=True), 1.0),
    "norms": lambda x: functional.normalize(x, dim=1) + functional.layer_norm(x, (3, 6, 8)),
    "groups": lambda x: functional.group_norm(x, 3),
    "attention": lambda x: functional.scaled_dot_product_attention(x, x, x, is_causal=True),
    "transposed": lambda x: functional.conv_transpose2d(x, torch.ones(3, 2, 3, 3), None, 2, 0, 1),
    "pooled": lambda x: functional.max_pool2d(x, 3, 2, ceil_mode=True) + functional.avg_pool2d(x, 2),
    "sampled": lambda x: functional.grid_sample(x, x.permute(0, 2, 3, 1)[..., :2], align_corners=False),
}  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
def test_a_graph_says_what_torch_says(way):
    compare(WAYS[way])


def test_many_distances_are_taken_in_double_precision():
    def compute(x):
        bank = torch.arange(4000 * 48).view(4000, 48).sin() + 100
        return torch.cdist(x.view(-1, 48) + 100, bank, compute_mode="donot_use_mm_for_euclid_dist")

    rows = EXAMPLE.repeat(6, 1, 1, 1)
    compare(compute, rows, OTHER.repeat(6, 1, 1, 1), rtol=1e-4)


def as_array(x: Tensor) -> Tensor:
    return torch.from_numpy(np.sort(x.numpy()))


REFUSED = {
    "asks for a value": lambda x: x * 2 if x.mean() > 0 else x,
    "goes on by it": as_array,
    "draws random numbers": lambda x: x + torch.rand(8),
    "a mask of the image marks": lambda x: x[x > 0].mean(),
    "aten.erfinv": lambda x: x.erfinv(),
}


@pytest.mark.parametrize("why", REFUSED)
def test_what_is_no_graph_is_refused(why):
    with pytest.raises(NoGraphError, match=why):
        compare(REFUSED[why])


def test_a_bounded_relu_is_computed_with_the_convolution_before_it(tmp_path):
    with torch.no_grad(), Tape() as tape:
        x = EXAMPLE.clone()
        tape.input("x", x)
        tape.output("y", functional.relu6(functional.conv2d(x, torch.ones(8, 3, 3, 3))))
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    options.log_severity_level = 3  # it warns that what it writes is for this processor alone
    onnxruntime.InferenceSession(tape.graph.model().SerializeToString(), options)
    kinds = {node.op_type for node in onnx.load(tmp_path / "optimised.onnx").graph.node}
    assert not kinds & {"Clip", "Max", "Min", "Relu"}


def test_equal_constants_are_kept_once():
    with torch.no_grad(), Tape() as tape:
        x = torch.ones(4)
        tape.input("x", x)
        tape.output("y", x * torch.arange(4.0) + torch.arange(4.0))
    assert tape.graph.bytes_of_constants == 16

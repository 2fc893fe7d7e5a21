"""The network inside a Glow coupling, as matrices on neighbourhoods: its parameters, and its two passes.

3×3 convolution, 1×1 convolution, 3×3 convolution is here: gather each position's neighbourhood of the few
input channels, run the two hidden layers position by position, and scatter the few outputs to the
neighbours. The wide hidden values never meet their neighbours, so they are worked on a block of positions
at a time, small enough to stay in the processor's cache, and never exist for a whole map.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor, nn
from torch.nn import functional

from secondread.flows.glow.native import TileKernel, native
from secondread.flows.glow.planes import neighbourhoods, scatter
from secondread.networks.as_graph import written_as_graph
from secondread.networks.precision import onednn_takes

LOG_SCALE_FACTOR = 3.0
"""Glow learns scales as exp(3 l), which lets them move faster than the other parameters."""
BLOCK_BYTES = {"cpu": 2**21, "cuda": 2**27}
"""Bytes of a hidden layer's block of positions. On a CPU two megabytes: fewer fall to the cost of each call,
more fall out of the cache."""


@dataclass
class NetWeights:
    """The network's weights with its normalisations folded in, in the precision it runs in.

    first   `[width, K]`, last column the bias; K counts neighbourhood rows (border row included) plus one
    middle  `[width, width]`, middle_bias `[width]`
    last    `[outputs * 3^rank, width]`; last_bias `[outputs]` float; border `[outputs, 3^rank]` or None
    """

    first: Tensor
    middle: Tensor
    middle_bias: Tensor
    last: Tensor
    last_bias: Tensor
    border: Tensor | None


Hidden = list[tuple[Tensor, Tensor]]
"""Both hidden layers of every block of positions, where a forward pass keeps them for the backward one."""


class CouplingNet(nn.Module):
    """From one half of the channels to shift and scale of the other (Kingma and Dhariwal, Glow, 2018).

        convolution 3×3 to `width`, actnorm, ReLU; convolution 1×1, actnorm, ReLU; convolution 3×3,
        zero at the start, its output times exp(3 l) per channel

    Actnorm here is (y + b) * exp(3 l), fitted to data by `Glow.initialise`. With `border`, the 3×3
    convolutions see one more channel that is 1 beyond the edge and 0 inside, as in Glow's own code.

    Weights are kept in the order in which they are used: `first_weight` `[width, channels_in (+1),
    3, …]`, `last_weight` `[channels_out, 3, …, width]` with its kernel mirrored, as of a transposed
    convolution.
    """

    def __init__(
        self,
        rank: int,
        channels_in: int,
        channels_out: int,
        width: int,
        *,
        border: bool = True,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.rank, self.border = rank, border
        self.channels_in, self.channels_out, self.width = channels_in, channels_out, width
        kernel = (3,) * rank
        self.first_weight = nn.Parameter(
            0.05 * torch.randn(width, channels_in + border, *kernel, generator=generator)
        )
        self.first_bias = nn.Parameter(torch.zeros(width))
        self.first_log_scale = nn.Parameter(torch.zeros(width))
        self.middle_weight = nn.Parameter(0.05 * torch.randn(width, width, generator=generator))
        self.middle_bias = nn.Parameter(torch.zeros(width))
        self.middle_log_scale = nn.Parameter(torch.zeros(width))
        self.last_weight = nn.Parameter(torch.zeros(channels_out, *kernel, width))
        self.last_border = nn.Parameter(torch.zeros(channels_out, 3**rank)) if border else None
        self.last_bias = nn.Parameter(torch.zeros(channels_out))
        self.last_log_scale = nn.Parameter(torch.zeros(channels_out))

    def values(self) -> tuple[Tensor, ...]:
        """The parameters in the order of `fold` and `unfold_gradients`."""
        given = (
            self.first_weight, self.first_bias, self.first_log_scale,
            self.middle_weight, self.middle_bias, self.middle_log_scale,
            self.last_weight, self.last_bias, self.last_log_scale,
        )  # fmt: skip
        return given if self.last_border is None else (*given, self.last_border)

    def forward(self, x: Tensor) -> Tensor:
        """`[channels_in, N, *S]` to `[channels_out, N, *S]`, without gradient."""
        with torch.no_grad():
            return run_forward(x, fold(self.values(), working_dtype(x)))


def working_dtype(x: Tensor) -> torch.dtype:
    """The precision of the networks for a state x: autocast's where it is on, else that of x."""
    kind = x.device.type
    if kind == "meta" or not torch.is_autocast_enabled(kind):
        return x.dtype
    return torch.get_autocast_dtype(kind)


def fold(values: Sequence[Tensor], dtype: torch.dtype) -> NetWeights:
    """The weights that `run_forward` and `run_backward` take, from a network's `values()`.

    A hidden weight that is not finite makes the last bias not a number, and so the output.
    """
    first, first_bias, first_log, middle, middle_bias, middle_log, last, last_bias, last_log = values[:9]
    gain = torch.exp(LOG_SCALE_FACTOR * first_log)
    first_matrix = first.new_empty((len(first), first[0].numel() + 1), dtype=dtype)
    torch.mul(first.flatten(1), gain[:, None], out=first_matrix[:, :-1])  # rounded as it is written
    torch.mul(first_bias, gain, out=first_matrix[:, -1])
    gain = torch.exp(LOG_SCALE_FACTOR * middle_log)
    middle_matrix = torch.empty_like(middle, dtype=dtype)
    torch.mul(middle, gain[:, None], out=middle_matrix)
    middle_bias = (middle_bias * gain).to(dtype)
    gain = torch.exp(LOG_SCALE_FACTOR * last_log)
    last_matrix = torch.empty_like(last, dtype=dtype)
    torch.mul(last, gain.view(-1, *(1 for _ in last.shape[1:])), out=last_matrix)
    return NetWeights(
        first_matrix,
        middle_matrix,
        middle_bias,
        last_matrix.flatten(0, -2),
        last_bias * gain + 0.0 * (first_matrix.sum() + middle_matrix.sum() + middle_bias.sum()),
        values[9] * gain[:, None] if len(values) > 9 else None,
    )


def run_forward(x: Tensor, weights: NetWeights, keep: Hidden | None = None) -> Tensor:
    """The network's output `[channels_out, N, *S]` in the precision of x, for x `[channels_in, N, *S]`.

    keep  takes the hidden values of every block for `run_backward`

    On CPUs with AMX compiled tiles (`flows.glow.native`) do it in bfloat16, unless `keep` is given.
    """
    kernel = _compiled(x, weights) if keep is None else None
    if kernel is not None:
        return kernel.forward(x.contiguous(), *_of(weights))
    images, size = x.shape[1], tuple(x.shape[2:])
    gathered = _gathered(x, weights)
    columns = torch.empty((len(weights.last), gathered.shape[1]), dtype=gathered.dtype, device=x.device)
    for block in _blocks(gathered.shape[1], weights.middle):
        first, second = _hidden(gathered[:, block], weights)
        if keep is not None:
            keep.append((first, second))
        torch.mm(weights.last, second.t(), out=columns[:, block])
    total = scatter(columns, images, size, x.dtype)
    total += _edge_bias(weights, size, x)
    return total


def run_backward(
    x: Tensor, weights: NetWeights, gradient: Tensor, hidden: Hidden | None, *, to_input: bool = True
) -> tuple[Tensor | None, NetWeights]:
    """Gradients of x and of the weights, given that of the output `[channels_out, N, *S]`.

    hidden  what `run_forward` kept; None = computed again, block by block
    """
    kernel = _compiled(x, weights) if hidden is None else None
    if kernel is not None:
        to_x, first, middle, middle_bias, last, last_bias, border = kernel.backward(
            x.contiguous(), *_of(weights), gradient.contiguous(), to_input=to_input
        )
        return to_x, NetWeights(first, middle, middle_bias, last, last_bias, border)
    dtype, images, size = weights.middle.dtype, x.shape[1], tuple(x.shape[2:])
    gathered = _gathered(x, weights)
    coming = neighbourhoods(gradient, dtype=dtype)
    inputs = x.shape[0] * 3 ** len(size)
    backwards = weights.first[:, :inputs].t().contiguous()
    to_first = torch.zeros((weights.first.shape[1], weights.first.shape[0]), dtype=x.dtype, device=x.device)
    to_middle = torch.zeros_like(weights.middle, dtype=x.dtype)
    to_last = torch.zeros_like(weights.last, dtype=x.dtype)
    to_middle_bias = torch.zeros_like(weights.middle_bias, dtype=x.dtype)
    columns = torch.empty((inputs, gathered.shape[1]), dtype=dtype, device=x.device) if to_input else None
    for number, block in enumerate(_blocks(gathered.shape[1], weights.middle)):
        given, out = gathered[:, block], coming[:, block]
        first, second = _hidden(given, weights) if hidden is None else hidden[number]
        slope = out.t() @ weights.last
        to_last += out @ second
        slope = _where_positive(slope, second)
        to_middle += slope.t() @ first
        to_middle_bias += slope.sum(dim=0)
        slope = _where_positive(slope @ weights.middle, first)
        to_first += given @ slope
        if columns is not None:
            torch.mm(backwards, slope.t(), out=columns[:, block])
    per_position = gradient.sum(dim=1).flatten(1)
    border = None
    if weights.border is not None:
        border = per_position @ _edge(size, x.dtype, x.device).t()
    found = NetWeights(to_first.t(), to_middle, to_middle_bias, to_last, per_position.sum(dim=1), border)
    return (None if columns is None else scatter(columns, images, size, x.dtype)), found


def unfold_gradients(values: Sequence[Tensor], found: NetWeights) -> tuple[Tensor, ...]:
    """Gradients of a network's `values()` from those of its folded weights, which are used up."""
    first, first_bias, first_log, middle, middle_bias, middle_log, last, last_bias, last_log = values[:9]
    gain = torch.exp(LOG_SCALE_FACTOR * first_log)
    scaled = found.first.mul_(gain[:, None])
    to_first, to_first_bias = scaled[:, :-1].reshape(first.shape), scaled[:, -1].contiguous()
    to_first_log = _row_products(to_first.flatten(1), first.flatten(1)) + to_first_bias * first_bias
    gain = torch.exp(LOG_SCALE_FACTOR * middle_log)
    to_middle, to_middle_bias = found.middle.mul_(gain[:, None]), found.middle_bias * gain
    to_middle_log = _row_products(to_middle, middle) + to_middle_bias * middle_bias
    gain = torch.exp(LOG_SCALE_FACTOR * last_log)
    to_last = found.last.view(last.shape).mul_(gain.view(-1, *(1 for _ in last.shape[1:])))
    to_last_bias = found.last_bias * gain
    to_last_log = _row_products(to_last.flatten(1), last.flatten(1)) + to_last_bias * last_bias
    gradients = [to_first, to_first_bias, to_first_log, to_middle, to_middle_bias, to_middle_log]
    gradients += [to_last, to_last_bias, to_last_log]
    if found.border is not None:
        to_border = found.border * gain[:, None]
        to_last_log += _row_products(to_border, values[9])
        gradients.append(to_border)
    for to_log in (to_first_log, to_middle_log, to_last_log):
        to_log *= LOG_SCALE_FACTOR
    return tuple(gradients)


def _row_products(one: Tensor, other: Tensor) -> Tensor:
    """The inner product of each row of one matrix with the same row of another."""
    return (one * other).sum(dim=1)


def runs_compiled(x: Tensor, weights: NetWeights) -> bool:
    """Whether `run_forward` takes the compiled network for these."""
    return _compiled(x, weights) is not None


def _compiled(x: Tensor, weights: NetWeights) -> TileKernel | None:
    """The network in AMX tiles where it takes these planes and weights."""
    if written_as_graph() or not TileKernel.takes(x, weights.middle):
        return None
    kernel = native(weights.middle.dtype)
    return kernel if isinstance(kernel, TileKernel) else None


def _of(
    weights: NetWeights,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor | None]:
    """In the compiled network's order."""
    first, middle, middle_bias = weights.first, weights.middle, weights.middle_bias
    return first, middle, middle_bias, weights.last, weights.last_bias, weights.border


def _gathered(x: Tensor, weights: NetWeights) -> Tensor:
    border = weights.border is not None
    return neighbourhoods(x, border=border, ones=True, dtype=weights.middle.dtype)


def _blocks(positions: int, middle: Tensor) -> Iterator[slice]:
    """Blocks of positions of nearly equal size whose hidden values fill about BLOCK_BYTES."""
    most = max(256, BLOCK_BYTES.get(middle.device.type, 2**27) // (len(middle) * middle.element_size()))
    count = math.ceil(positions / most)
    length = math.ceil(positions / count / 32) * 32
    for at in range(0, positions, length):
        yield slice(at, min(at + length, positions))


def _hidden(gathered: Tensor, weights: NetWeights) -> tuple[Tensor, Tensor]:
    """Both hidden layers of a block of positions, `[positions, width]`."""
    first = _relu(gathered.t() @ weights.first.t())
    if first.device.type == "cpu" and onednn_takes(first.dtype) and not written_as_graph():
        second = torch.ops.mkldnn._linear_pointwise(
            first, weights.middle, weights.middle_bias, "relu", [], ""
        )
        return first, second
    return first, _relu(functional.linear(first, weights.middle, weights.middle_bias))


_INTEGERS = {2: torch.int16, 4: torch.int32, 8: torch.int64}
"""By size: the integer whose bits are compared in place of a float's, several times faster on a CPU."""


def _relu(x: Tensor) -> Tensor:
    """max(x, 0), in place: a float is negative where its bits are, read as an integer.

    A value that is not a number may become 0; `fold` makes sure that one among the weights shows.
    """
    if x.device.type != "cpu" or written_as_graph():
        return x.relu_()
    x.view(_INTEGERS[x.element_size()]).clamp_min_(0)
    return x


def _where_positive(x: Tensor, reference: Tensor) -> Tensor:
    """x where the reference, which is nowhere negative, is positive, else 0; x is changed in place."""
    if x.device.type != "cpu" or written_as_graph():
        return x.mul_(reference > 0)
    whole = _INTEGERS[x.element_size()]
    x.view(whole).mul_(reference.view(whole).clamp(0, 1))
    return x


def _edge_bias(weights: NetWeights, size: tuple[int, ...], like: Tensor) -> Tensor:
    """What bias and border channel add to the output, the same for every image: `[outputs, 1, *S]`."""
    bias = weights.last_bias.to(like.dtype)[:, None]
    if weights.border is None:
        return bias.view(len(bias), 1, *(1 for _ in size))
    found = bias + weights.border.to(like.dtype) @ _edge(size, like.dtype, like.device)
    return found.view(len(bias), 1, *size)


@lru_cache(maxsize=64)
def _edge(size: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    """Neighbourhoods of the border channel, `[3^rank, prod(size)]`."""
    with torch.inference_mode(False):
        return neighbourhoods(torch.zeros((0, 1, *size), dtype=dtype, device=device), border=True)

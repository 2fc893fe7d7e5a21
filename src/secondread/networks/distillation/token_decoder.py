"""A noisy bottleneck and blocks of linear attention on tokens (Guo et al., Dinomaly, CVPR 2025)."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import elu, gelu

from secondread.networks.precision import full_precision


class NoisyBottleneck(nn.Module):
    """Tokens `[N, P, C]` through two linear layers, four times as wide between, with dropout before, between
    and behind them: the noise from which a decoder learns to restore normal tokens."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.first = nn.Linear(width, 4 * width)
        self.second = nn.Linear(4 * width, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        x = self.dropout(gelu(self.first(self.dropout(x))))
        noisy: Tensor = self.dropout(self.second(x))
        return noisy


class LinearAttention(nn.Module):
    """Attention whose weights are q' · k' with q' = elu(q) + 1 and k' = elu(k) + 1, divided by their sum.

    It cannot look at one token alone as softmax can, and so copies less of what is abnormal. Its cost grows
    with the number of tokens and not with their square.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.queries_keys_values = nn.Linear(width, 3 * width)
        self.joined = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        count, places, width = x.shape
        three = self.queries_keys_values(x).view(count, places, 3, self.heads, width // self.heads)
        with full_precision(x):
            queries, keys, values = three.float().permute(2, 0, 3, 1, 4)
            queries, keys = elu(queries) + 1, elu(keys) + 1
            total = queries @ keys.sum(dim=-2).unsqueeze(-1)
            attended = queries @ (keys.transpose(-2, -1) @ values) / total
        attended = attended.transpose(1, 2).reshape(count, places, width).to(x.dtype)
        out: Tensor = self.joined(attended)
        return out


class TokenBlock(nn.Module):
    """x + attention(norm(x)), then x + mlp(norm(x)); the mlp is four times as wide between."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.first_norm = nn.LayerNorm(width, eps=1e-8)
        self.attention = LinearAttention(width, heads)
        self.second_norm = nn.LayerNorm(width, eps=1e-8)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.first_norm(x))
        out: Tensor = x + self.mlp(self.second_norm(x))
        return out


class TokenDecoder(nn.Module):
    """Tokens `[N, P, width]` through the bottleneck and `blocks` blocks: a tuple of what groups of following
    blocks give, `[N, P, width]` each, the mean over the group, the last group first.

    So the first of the tuple is for the encoder's first layers, as in an encoder turned round. Groups are as
    alike in size as can be.
    """

    def __init__(self, width: int, *, heads: int, blocks: int, groups: int, dropout: float) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"{heads} heads do not share a width of {width}")
        if groups > blocks:
            raise ValueError(f"{groups} groups of layers need as many blocks, and there are {blocks}")
        self.bottleneck = NoisyBottleneck(width, dropout)
        self.blocks = nn.ModuleList(TokenBlock(width, heads) for _ in range(blocks))
        self.parts = parts(blocks, groups)
        start_small(self)

    def forward(self, tokens: Tensor) -> tuple[Tensor, ...]:
        x, given = self.bottleneck(tokens), []
        for block in self.blocks:
            x = block(x)
            given.append(x)
        groups = [torch.stack(given[start:end]).mean(dim=0) for start, end in self.parts]
        return tuple(reversed(groups))


def parts(count: int, groups: int) -> tuple[tuple[int, int], ...]:
    """`count` things in a row in so many groups, as alike in size as can be: start and end of each."""
    ends = [round(count * number / groups) for number in range(groups + 1)]
    return tuple(pairwise(ends))


@torch.no_grad()
def start_small(network: nn.Module) -> None:
    """Linear layers from a normal distribution of standard deviation 0.01 cut off at 0.03, without bias."""
    for module in network.modules():
        if isinstance(module, nn.Linear):
            nn.init.trunc_normal_(module.weight, std=0.01, a=-0.03, b=0.03)
            nn.init.zeros_(module.bias)

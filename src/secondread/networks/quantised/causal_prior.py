"""The likelihood of a map of codes, place by place, each given those before it; and codes drawn by it."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from secondread.networks.by_rank import CONVOLUTION, channels_last


class CausalPrior(nn.Module):
    """log p(c) = sum over places i of log p(c_i | c_1 ... c_i-1), in the order of the axes, the last fastest.

    Codes `[N, *grid]` (whole numbers below `codes`) to logits `[N, codes, *grid]`. An embedding of the codes
    passes a convolution that sees earlier places alone; then `blocks` gated residual blocks of convolutions
    that see earlier places and their own, and with `heads` one layer of attention to all of these, since
    stacked masked convolutions miss some. A learned vector of each place is added, because places of medical
    images differ.

    With `condition` (how many codes the level above has) each block also sees that level's codes, on a grid
    coarser by 2.

    Sources: A. van den Oord et al., Conditional image generation with PixelCNN decoders, NeurIPS 2016;
    X. Chen, N. Mishra, M. Rohaninejad, P. Abbeel, PixelSNAIL, ICML 2018, whose single layers this does not
    repeat.
    """

    def __init__(
        self,
        grid: Sequence[int],
        codes: int,
        *,
        width: int,
        blocks: int,
        kernel: int,
        dropout: float,
        heads: int = 0,
        condition: int = 0,
    ) -> None:
        super().__init__()
        if heads and width % heads:
            raise ValueError(f"heads {heads} do not divide the prior's width {width}")
        rank = len(grid)
        self.grid = tuple(grid)
        self.embed = nn.Embedding(codes, width)
        self.places = nn.Parameter(0.02 * torch.randn(width, *grid))
        self.first = EARLIER[rank](width, width, kernel, own=False)
        self.blocks = nn.ModuleList(
            GatedBlock(rank, width, kernel, dropout, conditioned=bool(condition)) for _ in range(blocks)
        )
        self.attention = CausalAttention(rank, width, heads) if heads else None
        self.condition = Above(rank, condition, width) if condition else None
        self.last = nn.Sequential(nn.ELU(), CONVOLUTION[rank](width, codes, 1))

    def forward(self, codes: Tensor, above: Tensor | None = None) -> Tensor:
        embedded = self.embed(codes).movedim(-1, 1)
        h = self.first(channels_last(embedded)) + self.places
        seen = None if self.condition is None or above is None else self.condition(above, self.grid)
        for block in self.blocks:
            h = block(h, seen)
        if self.attention is not None:
            h = h + self.attention(h, embedded)
        logits: Tensor = self.last(h)
        return logits.float()

    def surprise(self, codes: Tensor, above: Tensor | None = None) -> Tensor:
        """-log p of each code given the earlier ones, nats: `[N, *grid]`."""
        return functional.cross_entropy(self(codes, above), codes, reduction="none")


@torch.no_grad()
def redrawn(
    prior: CausalPrior,
    codes: Tensor,
    draws: Tensor,
    *,
    above: Tensor | None = None,
    threshold: float = -math.inf,
    temperature: float = 1.0,
) -> Tensor:
    """Codes `[N, *grid]` in which, place after place, each whose -log p given those before it (as they are
    by then) is above `threshold` nats has been drawn anew; without a threshold all are.

    draws        one number from U[0, 1) for each place, `[N, P]`
    temperature  divides the logits of what is drawn; 0 takes the likeliest code

    Source: S. N. Marimont, G. Tarroni, Anomaly detection through latent space restoration using
    vector-quantized variational autoencoders, ISBI 2021, and the authors' code.
    """
    codes = codes.clone()
    flat, places = codes.view(len(codes), -1), torch.arange(codes[0].numel(), device=codes.device)
    open_ = torch.arange(len(codes), device=codes.device)
    reached = torch.zeros(len(codes), dtype=torch.long, device=codes.device)
    while len(open_):
        given = None if above is None else above[open_]
        logits = prior(codes[open_], given).flatten(2)
        surprise = functional.cross_entropy(logits, flat[open_], reduction="none")
        unlikely = (surprise > threshold) & (places >= reached[open_, None])
        some = unlikely.any(dim=1)
        place, open_, logits = unlikely.byte().argmax(dim=1)[some], open_[some], logits[some]
        chosen = logits.gather(2, place.view(-1, 1, 1).expand(-1, logits.shape[1], 1)).squeeze(2)
        if temperature > 0:
            upto = (chosen.double() / temperature).softmax(dim=1).cumsum(dim=1)
            drawn = (draws[open_, place, None].double() * upto[:, -1:] >= upto).sum(dim=1)
        else:
            drawn = chosen.argmax(dim=1)
        flat[open_, place] = drawn.clamp_max(logits.shape[1] - 1)
        reached[open_] = place + 1
    return codes


def earlier(kernel: Sequence[int], own: bool) -> Tensor:
    """A mask over a kernel's positions: those before its middle in the order of the axes, and with `own` the
    middle itself."""
    count = math.prod(kernel)
    return (torch.arange(count) < count // 2 + own).view(*kernel)


class EarlierConvolution2d(nn.Conv2d):
    """A convolution of `kernel` (odd) positions per axis that sees earlier places, and with `own` its own."""

    mask: Tensor

    def __init__(self, before: int, after: int, kernel: int, *, own: bool) -> None:
        super().__init__(before, after, kernel, padding=kernel // 2)
        self.register_buffer("mask", earlier(self.kernel_size, own), persistent=False)

    def forward(self, input: Tensor) -> Tensor:
        return self._conv_forward(input, self.weight * self.mask, self.bias)


class EarlierConvolution3d(nn.Conv3d):
    """The same for volumes."""

    mask: Tensor

    def __init__(self, before: int, after: int, kernel: int, *, own: bool) -> None:
        super().__init__(before, after, kernel, padding=kernel // 2)
        self.register_buffer("mask", earlier(self.kernel_size, own), persistent=False)

    def forward(self, input: Tensor) -> Tensor:
        return self._conv_forward(input, self.weight * self.mask, self.bias)


EARLIER: dict[int, type[EarlierConvolution2d] | type[EarlierConvolution3d]] = {
    2: EarlierConvolution2d,
    3: EarlierConvolution3d,
}


class GatedBlock(nn.Module):
    """h + a sigmoid(b), where a and b are the halves of two masked convolutions with ELU before each."""

    def __init__(self, rank: int, width: int, kernel: int, dropout: float, *, conditioned: bool) -> None:
        super().__init__()
        self.first = EARLIER[rank](width, width, kernel, own=True)
        self.dropout = nn.Dropout(dropout)
        self.second = EARLIER[rank](width, 2 * width, kernel, own=True)
        self.condition = CONVOLUTION[rank](width, 2 * width, 1, bias=False) if conditioned else None

    def forward(self, h: Tensor, above: Tensor | None) -> Tensor:
        y = self.dropout(functional.elu(self.first(functional.elu(h))))
        y = self.second(y)
        if self.condition is not None and above is not None:
            y = y + self.condition(above)
        return h + functional.glu(y, dim=1)


class CausalAttention(nn.Module):
    """Attention of each place to the earlier ones and itself: `[N, width, *S]` to the same.

    A place brings what it has come to and the code just before it, so that every earlier code is seen.
    """

    def __init__(self, rank: int, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.into = CONVOLUTION[rank](width, 3 * width, 1)
        self.out = CONVOLUTION[rank](width, width, 1)

    def forward(self, h: Tensor, codes: Tensor) -> Tensor:
        before = functional.pad(codes.flatten(2)[..., :-1], (1, 0)).view_as(codes)
        each = self.into(functional.elu(h + before)).flatten(2).unflatten(1, (3, self.heads, -1))
        query, key, value = each.transpose(-1, -2).unbind(1)
        seen = functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        found: Tensor = self.out(seen.transpose(-1, -2).reshape(h.shape))
        return found


class Above(nn.Module):
    """The codes of the level above, on this level's grid: `[N, *half]` to `[N, width, *grid]`."""

    def __init__(self, rank: int, codes: int, width: int) -> None:
        super().__init__()
        self.embed = nn.Embedding(codes, width)
        self.around = nn.Sequential(
            CONVOLUTION[rank](width, width, 3, padding=1),
            nn.ELU(),
            CONVOLUTION[rank](width, width, 3, padding=1),
        )

    def forward(self, above: Tensor, grid: tuple[int, ...]) -> Tensor:
        seen = self.around(channels_last(self.embed(above).movedim(-1, 1)))
        return functional.interpolate(seen, size=grid, mode="nearest")

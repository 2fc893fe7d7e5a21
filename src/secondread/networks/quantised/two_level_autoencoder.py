"""The network of VQ-VAE-2: an autoencoder whose latent maps, on two levels, are codes of codebooks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from secondread.networks.by_rank import CONVOLUTION, TRANSPOSED_CONVOLUTION, channels_last
from secondread.networks.convolution3.fused_convolution import FusedSequence
from secondread.networks.quantised.codebook import Codebook

STRIDE = 8
"""Of the top level; the bottom's is half."""


class Latents(NamedTuple):
    """The latent maps before they are quantised, `[N, code width, *S]` each."""

    top: Tensor
    bottom: Tensor


class Codes(NamedTuple):
    """The codes of an image, whole numbers `[N, *S]` each."""

    top: Tensor
    bottom: Tensor


class TwoLevelAutoencoder(nn.Module):
    """Images `[N, channels, *size]` by way of codes on strides 8 (top) and 4 (bottom).

        h = encoder_4(x);  z_top = 1×1(encoder_2(h));  e_top = nearest codes
        z_bottom = 1×1(decoder_2(e_top), h);  e_bottom = nearest codes
        x' = decoder_4(transposed convolution(e_top), e_bottom)

    The encoders halve by convolutions 4 of stride 2 with ReLU, to half the width and then to the width; a
    convolution 3 and `blocks` residual blocks (ReLU, convolution 3 to `residual_width`, ReLU, convolution 1)
    follow. The decoders mirror them. Gradients pass the codes as if they were not there (straight through).
    Sizes are multiples of 8.

    Source: A. Razavi, A. van den Oord, O. Vinyals, Generating diverse high-fidelity images with VQ-VAE-2,
    NeurIPS 2019; the layers as in public implementations of it.
    """

    def __init__(
        self,
        rank: int,
        channels: int,
        size: Sequence[int],
        *,
        width: int,
        residual_width: int,
        blocks: int,
        codes: int,
        code_width: int,
        decay: float,
        dead_below: float,
    ) -> None:
        super().__init__()
        if len(size) != rank or any(length % STRIDE or not length for length in size):
            raise ValueError(
                f"codes on two levels take sizes that are multiples of {STRIDE} along {rank} axes, "
                f"not {tuple(size)}"
            )
        convolution, half = CONVOLUTION[rank], max(1, width // 2)
        residual = (width, residual_width, blocks)
        self.encode_bottom = FusedSequence(
            convolution(channels, half, 4, 2, 1),
            nn.ReLU(),
            convolution(half, width, 4, 2, 1),
            nn.ReLU(),
            convolution(width, width, 3, padding=1),
            *residual_blocks(rank, *residual),
        )
        self.encode_top = FusedSequence(
            convolution(width, half, 4, 2, 1),
            nn.ReLU(),
            convolution(half, width, 3, padding=1),
            *residual_blocks(rank, *residual),
        )
        self.to_top = convolution(width, code_width, 1)
        self.to_bottom = convolution(code_width + width, code_width, 1)
        self.top = Codebook(codes, code_width, decay=decay, dead_below=dead_below)
        self.bottom = Codebook(codes, code_width, decay=decay, dead_below=dead_below)
        grow = TRANSPOSED_CONVOLUTION[rank]
        self.decode_top = FusedSequence(
            convolution(code_width, width, 3, padding=1),
            *residual_blocks(rank, *residual),
            grow(width, code_width, 4, 2, 1),
        )
        self.spread = grow(code_width, code_width, 4, 2, 1)
        self.decode = FusedSequence(
            convolution(2 * code_width, width, 3, padding=1),
            *residual_blocks(rank, *residual),
            grow(width, half, 4, 2, 1),
            nn.ReLU(),
            grow(half, channels, 4, 2, 1),
        )
        self.grids = tuple(tuple(length // stride for length in size) for stride in (STRIDE, STRIDE // 2))

    def forward(self, x: Tensor) -> tuple[Tensor, Latents, Codes]:
        """x', z before it is quantised, and the codes."""
        h = self.encode_bottom(channels_last(x))
        z_top = self.to_top(self.encode_top(h)).float()
        top = self.top.nearest(z_top)
        e_top = straight_through(z_top, self.top.embed(top))
        z_bottom = self.to_bottom(torch.cat((self.decode_top(e_top), h), dim=1)).float()
        bottom = self.bottom.nearest(z_bottom)
        e_bottom = straight_through(z_bottom, self.bottom.embed(bottom))
        return self.image(e_top, e_bottom), Latents(z_top, z_bottom), Codes(top, bottom)

    def image(self, e_top: Tensor, e_bottom: Tensor) -> Tensor:
        """x' of the codes' vectors."""
        return self.decode(torch.cat((self.spread(e_top), e_bottom), dim=1)).float()

    def of_codes(self, codes: Codes) -> Tensor:
        """x' of codes."""
        return self.image(self.top.embed(codes.top), self.bottom.embed(codes.bottom))


def straight_through(z: Tensor, quantised: Tensor) -> Tensor:
    """The quantised values, with the gradient of z."""
    return z + (quantised - z).detach()


def residual_blocks(rank: int, width: int, hidden: int, count: int) -> list[nn.Module]:
    """Residual blocks one after another, and ReLU."""
    return [*(ResidualBlock(rank, width, hidden) for _ in range(count)), nn.ReLU()]


class ResidualBlock(nn.Module):
    """x + convolution 1 (ReLU (convolution 3 (ReLU x)))."""

    def __init__(self, rank: int, width: int, hidden: int) -> None:
        super().__init__()
        convolution = CONVOLUTION[rank]
        self.change = FusedSequence(
            nn.ReLU(), convolution(width, hidden, 3, padding=1), nn.ReLU(), convolution(hidden, width, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        changed: Tensor = self.change(x)
        return x + changed

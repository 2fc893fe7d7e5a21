"""A fully convolutional autoencoder for patches, whose code keeps its place."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from secondread.networks.by_rank import BATCH_NORM, CONVOLUTION, TRANSPOSED_CONVOLUTION
from secondread.networks.convolution3.fused_convolution import FusedSequence
from secondread.wording.sizes import times


class PatchAutoencoder(nn.Module):
    """`[N, C, *size]` to an image of that shape, by way of a code `[N, code, *size / 2^len(widths)]`.

    For each width a convolution 3 and one 4 of stride 2, each with batch normalisation and ReLU; a
    convolution 1 to the code. The decoder mirrors it with transposed convolutions 4 of stride 2, and a
    convolution 3 without normalisation gives the image. ValueError for a size that does not halve so often.
    """

    def __init__(
        self, rank: int, channels: int, size: Sequence[int], *, widths: Sequence[int], code: int
    ) -> None:
        super().__init__()
        halvings = len(widths)
        if len(size) != rank or any(length % 2**halvings or not length for length in size):
            raise ValueError(
                f"a patch autoencoder of {halvings} widths takes sizes that are multiples of {2**halvings} "
                f"along {rank} axes, not {times(size)}"
            )
        convolution, norm = CONVOLUTION[rank], BATCH_NORM[rank]
        down: list[nn.Module] = []
        for before, after in zip((channels, *widths), widths, strict=False):
            for channels_in, side, stride in ((before, 3, 1), (after, 4, 2)):
                down += [convolution(channels_in, after, side, stride, 1, bias=False), norm(after), nn.ReLU()]
        self.encoder = FusedSequence(*down, convolution(widths[-1], code, 1))
        up: list[nn.Module] = []
        for before, after in zip((code, *widths[::-1]), widths[::-1], strict=False):
            up += [TRANSPOSED_CONVOLUTION[rank](before, after, 4, 2, 1, bias=False), norm(after), nn.ReLU()]
        self.decoder = FusedSequence(*up, convolution(widths[0], channels, 3, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.decoder(self.encoder(x))

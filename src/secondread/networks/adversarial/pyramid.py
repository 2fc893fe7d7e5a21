"""The convolution pyramids of DCGAN, up and down, as AnoGAN and GANomaly have them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, cat, nn

from secondread.networks.by_rank import BATCH_NORM, CONVOLUTION, TRANSPOSED_CONVOLUTION
from secondread.networks.one_place import from_one_place, to_one_place

COARSEST = 4
SLOPE = 0.2


def halvings_of(size: Sequence[int], rank: int) -> int:
    """How often the grid is halved: until its shortest side would be shorter than 4, or odd. ValueError where
    that is never."""
    count = 0
    while len(size) == rank and all(
        length % 2 ** (count + 1) == 0 and length // 2 ** (count + 1) >= COARSEST for length in size
    ):
        count += 1
    if not count:
        raise ValueError(
            f"the pyramid halves the grid down to {COARSEST} or more, so it takes even sizes of at least "
            f"{2 * COARSEST} along {rank} axes, not {tuple(size)}"
        )
    return count


class DownPyramid(nn.Module):
    """Images `[N, channels, *size]` to `[N, outputs]`.

    4x4 convolutions of stride 2 to `width`, 2, 4, … times `width` channels (at 64x64 four of them, to 4x4),
    each but the first with batch normalisation, all with leaky ReLU; a convolution as large as the grid that
    is left. No layer has a bias.

    Source: A. Radford, L. Metz, S. Chintala, Unsupervised representation learning with deep convolutional
    generative adversarial networks, ICLR 2016.
    """

    def __init__(
        self, rank: int, channels: int, size: Sequence[int], outputs: int, *, width: int = 64
    ) -> None:
        super().__init__()
        count, convolution = halvings_of(size, rank), CONVOLUTION[rank]
        widths = [width * 2**level for level in range(count)]
        self.widths = tuple(widths)
        self.levels = nn.ModuleList(
            [nn.Sequential(convolution(channels, width, 4, 2, 1, bias=False), nn.LeakyReLU(SLOPE))]
        )
        for before, after in pairwise(widths):
            self.levels.append(
                nn.Sequential(
                    convolution(before, after, 4, 2, 1, bias=False),
                    BATCH_NORM[rank](after),
                    nn.LeakyReLU(SLOPE),
                )
            )
        grid = tuple(length // 2**count for length in size)
        self.last = to_one_place(rank, widths[-1], outputs, grid, bias=False)
        start(self)

    def maps(self, x: Tensor) -> list[Tensor]:
        """Of each level, finest first."""
        found = []
        for level in self.levels:
            x = level(x)
            found.append(x)
        return found

    def features(self, x: Tensor) -> Tensor:
        """What the last convolution sees, `[N, F]`."""
        return self.maps(x)[-1].flatten(1)

    def with_features(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """`[N, outputs]` and `[N, F]`."""
        coarsest = self.maps(x)[-1]
        return self.last(coarsest).flatten(1), coarsest.flatten(1)

    def forward(self, x: Tensor) -> Tensor:
        return self.with_features(x)[0]


class UpPyramid(nn.Module):
    """`[N, latent]` to images `[N, channels, *size]` in [-1, 1]: the same turned round, with transposed
    convolutions, batch normalisation and ReLU, and tanh at the end.

    skips: levels of a `DownPyramid` of the same width, finest = 0, whose maps come beside the decoder's own.
    """

    def __init__(
        self,
        rank: int,
        channels: int,
        size: Sequence[int],
        latent: int,
        *,
        width: int = 64,
        skips: Sequence[int] = (),
    ) -> None:
        super().__init__()
        count, transposed = halvings_of(size, rank), TRANSPOSED_CONVOLUTION[rank]
        refused = [level for level in skips if not 0 <= level < count]
        if refused:
            raise ValueError(
                f"skips: there is no level {refused[0]}; at {tuple(size)} there are 0 (finest) to {count - 1}"
            )
        self.rank, self.skips = rank, frozenset(skips)
        widths = [width * 2**level for level in range(count)]
        grid = tuple(length // 2**count for length in size)
        norm = BATCH_NORM[rank]
        self.first = nn.Sequential(
            from_one_place(rank, latent, widths[-1], grid, bias=False), norm(widths[-1]), nn.ReLU()
        )
        self.levels = nn.ModuleList()
        for level in range(count - 1, 0, -1):
            seen = widths[level] * (2 if level in self.skips else 1)
            self.levels.append(
                nn.Sequential(
                    transposed(seen, widths[level - 1], 4, 2, 1, bias=False),
                    norm(widths[level - 1]),
                    nn.ReLU(),
                )
            )
        self.last = transposed(width * (2 if 0 in self.skips else 1), channels, 4, 2, 1, bias=False)
        start(self)

    def forward(self, z: Tensor, maps: Sequence[Tensor] = ()) -> Tensor:
        """maps: of the levels of the `DownPyramid`, where there are skips."""
        x = self.first(z.reshape(*z.shape, *[1] * self.rank))
        steps: list[nn.Module] = [*self.levels, self.last]
        for level, step in zip(range(len(self.levels), -1, -1), steps, strict=True):
            if level in self.skips:
                x = cat((x, maps[level].to(x.dtype)), dim=1)
            x = step(x)
        image: Tensor = x.tanh()
        return image


def start(module: nn.Module) -> None:
    """DCGAN's initial values: weights N(0, 0.02), scales of batch normalisation N(1, 0.02)."""
    for part in module.modules():
        if isinstance(part, nn.modules.conv._ConvNd):
            nn.init.normal_(part.weight, 0.0, 0.02)
        elif isinstance(part, nn.modules.batchnorm._BatchNorm):
            nn.init.normal_(part.weight, 1.0, 0.02)
            nn.init.zeros_(part.bias)

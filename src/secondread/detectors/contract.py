"""What a method must declare: the cohorts it needs, the stages that train it, the scores it gives.

A detector owns no file, no device, no loop and no hidden randomness. The loop (`secondread.training`)
runs any detector's stages; calibration turns its raw parts into decisions.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Final, Literal, Protocol, Self, runtime_checkable

import torch
from torch import Tensor, nn

from secondread.detectors.detector_settings import DetectorSettings, StageSettings

LEARNT_FROM = ("normal", "unlabelled", "abnormal")
"""The cohorts that a detector may learn from. Held-out normals are the loop's and calibration's; the test is
nobody's."""


@dataclass(frozen=True)
class Batch:
    """Preprocessed images of one size.

    images    float32 `[N, C, *spatial]`
    valid     bool `[N, 1, *spatial]`, False where preprocessing padded; None = valid everywhere
    features  what the stage's `frozen` function returned for these images, if the stage has one;
              each tensor `[N, ...]`
    other     the same images under other random changes, in a training batch of a stage that asks for
              two views and whose recipe augments
    """

    images: Tensor
    valid: Tensor | None = None
    features: tuple[Tensor, ...] | None = None
    other: Batch | None = None

    def __len__(self) -> int:
        return len(self.images)

    def to(self, device: torch.device | str) -> Batch:
        return Batch(
            self.images.to(device),
            None if self.valid is None else self.valid.to(device),
            None if self.features is None else tuple(t.to(device) for t in self.features),
            None if self.other is None else self.other.to(device),
        )


@dataclass(frozen=True)
class ScoringNoise:
    """Randomness at scoring, one stream per image seeded from the image's digest.

    So an image's score does not depend on its batch. `normal((3, 4))` is `[N, 3, 4]`.
    """

    generators: Sequence[torch.Generator]
    device: torch.device | str = "cpu"

    def normal(self, shape: Sequence[int]) -> Tensor:
        return torch.stack([torch.randn(*shape, generator=g) for g in self.generators]).to(self.device)

    def uniform(self, shape: Sequence[int]) -> Tensor:
        return torch.stack([torch.rand(*shape, generator=g) for g in self.generators]).to(self.device)


@dataclass(frozen=True)
class Part:
    """One raw statistic per image, float32 `[N]`. `upper`: higher = more abnormal. `two`: far from
    the normals' median, either way, = more abnormal (calibration folds it)."""

    values: Tensor
    tail: Literal["upper", "two"] = "upper"


@dataclass(frozen=True)
class Mixture:
    """How parts (or map parts) become one number: the weighted sum, over `weights`, of the raw values
    (`scaled=False`, as papers have it) or of values standardised on validation normals. A part
    that is not named is reported and not mixed."""

    weights: Mapping[str, float]
    scaled: bool = True


@dataclass(frozen=True)
class Scores:
    """What a detector says of a batch: named parts, and named maps `[N, 1, *spatial]` on the grid of
    the batch (higher = more abnormal) or none."""

    parts: Mapping[str, Part]
    maps: Mapping[str, Tensor] = field(default_factory=dict)


Batches = Mapping[str, Batch]
"""One training batch: a Batch for each cohort that the stage is on and that has images in it."""

Loss = Callable[[Batches, torch.Generator], Mapping[str, Tensor]]
"""Named scalar terms. The loop adds them up, logs each, and takes the gradient of the sum.

As the loss of a step it is called with gradients for the step's parameters alone. The detector's own
`training` is then True, and so is that of the modules that a step of the running stage trains (and of
`Stage.drifts`); every other module is in eval mode. As the loss on held-out normals it is called in eval
mode without gradients, under `torch.no_grad()`; a loss that takes a gradient itself (a gradient penalty,
say) cannot stand there.
"""

STEPS: Final = "steps"
"""`Stage.validate`: the loss on held-out normals is the sum of the steps' own losses."""


@dataclass(frozen=True)
class Step:
    """Parameters and the loss that trains them, `repeats` times per round (a critic's five, say). The
    learning rate of the modules in `paces` is multiplied by the number beside them. `after` is called without
    gradient after each optimiser step of this one (clipped weights, a moving-average teacher, a queue), and
    not after a step that changed nothing because it was not finite."""

    trains: Sequence[nn.Module | nn.Parameter]
    loss: Loss
    repeats: int = 1
    name: str = "step"
    paces: Sequence[tuple[nn.Module, float]] = ()
    after: Callable[[], None] | None = None


@dataclass(frozen=True)
class Stage:
    """One training programme.

    name        the recipe's `stages` section of this name holds optimiser, length, batch size
    on          cohort (of `LEARNT_FROM`) -> its share of a batch (shares add up to 1), or None for each
                cohort: every image of each once an epoch, so that a batch may lack a small cohort
    steps       in order, once a round; empty for a stage that only collects
    validate    the loss on held-out normals, for early stopping, `keep: best` and the log: `STEPS`, a loss of
                its own, or None = there is none, and a recipe that asks for it is refused. A stage with steps
                has to say it
    frozen      a function of images alone, with parameters that this stage does not train: the loop
                computes it once per image, keeps it on disk, and gives it as `batch.features`. When
                the stage augments: of the kept copies (`copies`); without those not used
    views       2: each training batch comes with `batch.other`, where the recipe augments
    keeps       names of the modules and buffers that `Step.after` and `each_epoch` change beside what is
                trained: a moving-average teacher, centres, a queue. What a method keeps is a buffer, so that
                a resumed fit has it
    drifts      modules in train mode though no step trains them, so that batch statistics follow the data
    prepare     before the first step, with an iterator over the stage's batches (data-dependent
                initialisation, centres, teacher statistics)
    start       after `prepare`: figures of what is not trained yet, by name, of the stage's first batch; they
                stand in the log
    collect     for each batch of one pass over the data, without gradient (memory banks, moments)
    each_epoch  after each epoch, with its number (from 0) and an iterator over one pass of the stage's
                batches, unshuffled and unchanged, which is read only where it is used (re-estimated centres,
                a radius)
    finish      after the last step or the last `collect`
    examine     after that, with batches of held-out normals (of at least two, where there are two) and a
                generator: figures, by name, that stand in the log; what the detector learns of itself is
                kept in its buffers. Not called where there are no held-out normals
    score       `[N]`, higher = more abnormal: by what epochs of this stage are compared where the
                detector's own score says nothing yet, a later stage being untrained; None = its own
    diverged_above  a step whose loss is larger counts as one that is not finite

    Hooks run in eval mode without gradient, but for `Step.after`, which leaves modes as they are.
    """

    name: str
    on: Mapping[str, float | None]
    steps: Sequence[Step] = ()
    validate: Loss | Literal["steps"] | None = None
    frozen: Callable[[Tensor], tuple[Tensor, ...]] | None = None
    views: Literal[1, 2] = 1
    keeps: Sequence[str] = ()
    drifts: Sequence[nn.Module] = ()
    prepare: Callable[[Iterator[Batches], torch.Generator], None] | None = None
    start: Callable[[Batches], Mapping[str, float]] | None = None
    collect: Callable[[Batches], None] | None = None
    each_epoch: Callable[[int, Iterator[Batches]], None] | None = None
    finish: Callable[[], None] | None = None
    examine: Callable[[Iterator[Batch], torch.Generator], Mapping[str, float]] | None = None
    score: Callable[[Batch, ScoringNoise], Tensor] | None = None
    diverged_above: float = math.inf


@dataclass(frozen=True)
class Tiny:
    """A form of a detector small enough for the laws: at most 32 px, 20 steps, 5 s."""

    settings: DetectorSettings
    channels: int
    size: tuple[int, ...]
    stages: Mapping[str, StageSettings]


class Detector(nn.Module):
    """A method. Subclasses set `Settings`, and define `stages`, `score` and `tiny`.

    `channels` and `size` are those of the preprocessed images. Everything fitted is a parameter or a
    buffer, so that `state_dict` is the whole fitted state; constructing a detector reads no file
    other than the weights named in its settings, and with `pretrained=False` none at all (a bundle
    is loaded so).
    """

    Settings: ClassVar[type[DetectorSettings]]

    needs: frozenset[str] = frozenset({"normal"})
    uses: frozenset[str] = frozenset()
    ranks: frozenset[int] = frozenset({2})
    added_later: frozenset[str] = frozenset()
    """Buffers that bundles of earlier versions lack; there they stay as the constructor made them."""
    grows: ClassVar[Mapping[str, tuple[str | None, ...]]] = {}
    """Buffers that are empty until the fit gives them their length: for each axis what its length is called,
    the same name for the same length, or None where it is given from the start."""
    gradients_at_scoring: bool = False
    """`score` takes gradients (inside `torch.enable_grad()`), so it is not run in inference mode."""

    def __init__(
        self, settings: DetectorSettings, channels: int, size: Sequence[int], *, pretrained: bool = True
    ) -> None:
        super().__init__()
        self.settings = settings
        self.channels = channels
        self.size = tuple(size)
        if len(self.size) not in self.ranks:
            raise ValueError(
                f"detector {settings.name!r} takes rank {sorted(self.ranks)}, "
                f"and the preprocessing gives images of size {self.size}"
            )

    def stages(self) -> Iterator[Stage]:
        raise NotImplementedError

    def score(self, batch: Batch, noise: ScoringNoise) -> Scores:
        raise NotImplementedError

    def mixture(self) -> Mixture:
        """How the parts become the image score."""
        raise NotImplementedError

    def map_mixture(self) -> Mixture | None:
        """How the map parts become the map; None where the detector gives no map."""
        return None

    def notes(self) -> tuple[str, ...]:
        """What whoever fits should know of the result, one line each: told when training ends, and kept in
        the bundle's record of it."""
        return ()

    def warnings(self) -> tuple[str, ...]:
        """In what the result is less than was asked for, one line each: told when training ends, kept in the
        bundle's record of it, and a warning of the report."""
        return ()

    @classmethod
    def tiny(cls, rank: int) -> Tiny:
        raise NotImplementedError

    def load_fitted(self, state: Mapping[str, Tensor]) -> Self:
        """The fitted state of `state_dict()`, with buffers of fitted length (banks) resized to it."""
        own = self.state_dict()
        state = {**{name: own[name] for name in self.added_later & own.keys()}, **state}
        for name, buffer in list(self.named_buffers()):
            if name in state and state[name].shape != buffer.shape:
                owner = self.get_submodule(name.rpartition(".")[0])
                owner.register_buffer(name.rpartition(".")[2], torch.empty_like(state[name]))
        self.load_state_dict(dict(state))
        return self


@runtime_checkable
class Generative(Protocol):
    """What a detector has besides, if it can draw images. `secondread sample` takes such detectors.

    All randomness is the generator's, one of the CPU, so that a seed draws the same on every device; what
    comes back lies on the detector's own device, float32, in preprocessed values.
    """

    def sample(self, n: int, generator: torch.Generator, *, temperature: float = 1.0) -> Tensor:
        """Fictional images `[n, C, *size]`; `temperature` multiplies the latent's standard deviation."""
        ...

    def interpolate(self, first: Tensor, second: Tensor, steps: int) -> Tensor:
        """`[steps, C, *size]` along the line between the latents of two images `[C, *size]`; its ends are
        their reconstructions."""
        ...

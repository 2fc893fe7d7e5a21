"""How a detector is trained: stages of steps, and what happens between them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from secondread.anomalies.anomaly import Anomalies
from secondread.detectors.contract.batch import Batch, Batches
from secondread.detectors.contract.scores import ScoringNoise

AUXILIARY = "auxiliary"
LEARNT_FROM = ("normal", "unlabelled", "abnormal", AUXILIARY)
"""The cohorts that a detector may learn from; `auxiliary` are images from elsewhere that are neither normal
nor abnormal. Held-out normals are the loop's and calibration's; the test is nobody's."""

Loss = Callable[[Batches, torch.Generator], Mapping[str, Tensor]]
"""Named scalar terms. The loop adds them up, logs each, and takes the gradient of the sum.

As the loss of a step it is called with gradients for the step's parameters alone. The detector's own
`training` is then True, and so is that of the modules that a step of the running stage trains (and of
`Stage.drifts`); every other module is in eval mode. As the loss on held-out normals it is called in eval
mode without gradients, under `torch.no_grad()`; a loss that takes a gradient itself (a gradient penalty,
say) cannot stand there.
"""

Draw = Callable[[Batches, torch.Generator], Mapping[str, Anomalies]]
"""Synthetic anomalies for images of a batch, by cohort. The batches have images and valid masks alone here,
on the CPU. It holds no parameter and can be pickled, since the loop may call it in another process. Held-out
normals stand for every cohort, and are there as "validation" besides. `UserError` where it cannot draw."""


@dataclass(frozen=True)
class Step:
    """Parameters and the loss that trains them, `repeats` times per round (a critic's five, say). The
    learning rate of the modules in `paces` is multiplied by the number beside them. `after` is called without
    gradient after each optimiser step of this one (clipped weights, a moving-average teacher, a queue), and
    not after a step that changed nothing because it was not finite.

    >>> import secondread, torch
    >>> network = torch.nn.Linear(4, 4)
    >>> def loss(batches, generator):
    ...     return {"squares": network(batches["normal"].images).square().mean()}
    >>> secondread.Step([network], loss, name="squares").repeats
    1
    """

    trains: Sequence[nn.Module | nn.Parameter]
    loss: Loss
    repeats: int = 1
    name: str = "step"
    paces: Sequence[tuple[nn.Module, float]] = ()
    after: Callable[[], None] | None = None


@dataclass(frozen=True)
class Stage:
    """One training programme.

    name        the stage's own, in the log and in checkpoints; what is random in it is drawn from it
    on          cohort (of `LEARNT_FROM`) -> its share of a batch (shares add up to 1), or None for each
                cohort: every image of each once an epoch, so that a batch may lack a small cohort. A cohort
                that the detector `uses` and that is not there leaves its share to the others. A share of 0 is
                a stand-in's: the stage is on that cohort only where none of its others is there
    steps       in order, once a round; empty for a stage that only collects
    validate    the loss on held-out normals, for early stopping, `keep: best` and the log: "steps", the sum
                of the steps' losses; a loss of its own; or None, and a recipe that asks for it is refused.
                Held-out normals stand there for every cohort of the stage, and have no targets. A stage
                with steps has to say it
    frozen      a function of images alone, with parameters that this stage does not train: the loop
                computes it once per image, keeps it on disk, and gives it as `batch.features`. When
                the stage augments: of the kept copies (`copies`); without those not used
    views       of each image, each under random changes of its own: a training batch comes with `views` - 1
                `batch.others`, where the recipe augments
    keeps       names of the modules and buffers that `Step.after` and `each_epoch` change beside what is
                trained: a moving-average teacher, centres, a queue. What a method keeps is a buffer, so that
                a resumed fit has it
    draw        what is drawn into training batches and held-out ones: each cohort that it names gets it as
                `Batch.drawn`. The loop draws ahead, in other processes, where that takes long; the numbers
                are the same
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
    section     of the recipe's `stages`, which holds optimiser, length and batch size; empty = the name. The
                networks of an ensemble are stages of one section
    follows     names of the earlier stages whose results it reads; None = all of them. Stages of which
                neither follows the other, directly or through others, change different parameters and
                buffers, and may be trained at once in processes of their own; the numbers are the same

    Hooks run in eval mode without gradient, but for `Step.after`, which leaves modes as they are.

    >>> import secondread
    >>> seen = []
    >>> def collect(batches):
    ...     seen.append(batches["normal"].images.mean())
    >>> secondread.Stage("moments", on={"normal": 1.0}, collect=collect).steps
    ()
    """

    name: str
    on: Mapping[str, float | None]
    steps: Sequence[Step] = ()
    validate: Loss | Literal["steps"] | None = None
    frozen: Callable[[Tensor], tuple[Tensor, ...]] | None = None
    views: int = 1
    keeps: Sequence[str] = ()
    draw: Draw | None = None
    drifts: Sequence[nn.Module] = ()
    prepare: Callable[[Iterator[Batches], torch.Generator], None] | None = None
    start: Callable[[Batches], Mapping[str, float]] | None = None
    collect: Callable[[Batches], None] | None = None
    each_epoch: Callable[[int, Iterator[Batches]], None] | None = None
    finish: Callable[[], None] | None = None
    examine: Callable[[Iterator[Batch], torch.Generator], Mapping[str, float]] | None = None
    score: Callable[[Batch, ScoringNoise], Tensor] | None = None
    diverged_above: float = math.inf
    section: str = ""
    follows: Sequence[str] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "section", self.section or self.name)
        if self.views < 1:
            raise ValueError(f"stage {self.name!r} asks for {self.views} views; it sees at least one")

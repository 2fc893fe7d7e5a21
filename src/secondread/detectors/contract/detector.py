"""A method: its cohorts, stages, scores, and a form small enough for the laws."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, Self

import torch
from torch import Tensor, nn

from secondread.detectors.contract.batch import Batch
from secondread.detectors.contract.scores import Mixture, Part, Scores, ScoringNoise
from secondread.detectors.contract.stage import Stage
from secondread.detectors.detector_settings import DetectorSettings, StageSettings
from secondread.wording.sizes import times


@dataclass(frozen=True)
class Tiny:
    """A form of a detector small enough for the laws: at most 32 px, 20 steps, 5 s.

    >>> import secondread
    >>> settings = secondread.DetectorSettings(name="mine")
    >>> secondread.Tiny(settings, channels=1, size=(16, 16), stages={}).size
    (16, 16)
    """

    settings: DetectorSettings
    channels: int
    size: tuple[int, ...]
    stages: Mapping[str, StageSettings]


class Detector(nn.Module):
    """A method. Subclasses set `Settings`, and define `stages`, `score` and `tiny`; with parameters or
    buffers `build`; with several parts `mixture` and `map_mixture`, else `part` and `gives_map`.

    `channels` and `size` are those of the preprocessed images. Everything fitted is a parameter or a
    buffer, so that `state_dict` is the whole fitted state; constructing a detector reads no file
    other than the weights named in its settings, and with `pretrained=False` none at all (a bundle
    is loaded so).

    >>> import secondread, torch
    >>> class Darkness(secondread.Detector):
    ...     Settings = secondread.DetectorSettings
    ...     def stages(self):
    ...         return iter(())
    ...     def score(self, batch, noise, *, maps):
    ...         return self.one_part(-batch.images.mean((1, 2, 3)))
    >>> detector = Darkness(secondread.DetectorSettings(name="darkness"), channels=1, size=(4, 4))
    >>> noise = secondread.ScoringNoise([torch.Generator()])
    >>> detector.score(secondread.Batch(torch.ones(1, 1, 4, 4)), noise, maps=False).parts["score"].values
    tensor([-1.])
    """

    Settings: ClassVar[type[DetectorSettings]]

    part: ClassVar[str] = "score"
    """The name of the part, where there is one alone, and of the map."""
    gives_map: ClassVar[bool] = False
    """Whether a detector of one part gives a map."""
    needs: frozenset[str] = frozenset({"normal"})
    uses: frozenset[str] = frozenset()
    ranks: frozenset[int] = frozenset({2})
    learns_from_masks: bool = False
    """The losses read `Batch.target`. For others no mask is read in a fit."""
    added_later: frozenset[str] = frozenset()
    """Buffers that bundles of earlier versions lack; there they stay as the constructor made them."""
    grows: Mapping[str, tuple[str | None, ...]] = {}
    """Buffers that are empty until the fit gives them their length: for each axis what its length is called,
    the same name for the same length, or None where it is given from the start."""
    keeps: Mapping[str, Literal["thumbnails", "features", "digests"]] = {}
    """Buffers whose rows are images that it learned from one by one: small, or as vectors of features; or
    digests of such images or of their patients' ids. A bundle says so to whoever gets it."""
    gradients_at_scoring: bool = False
    """`score` takes gradients (inside `torch.enable_grad()`), so it is not run in inference mode."""
    costly_scoring: bool = False
    """`score` optimises for each image, or takes as long otherwise. Epochs are then compared on few images,
    unless the recipe says on how many."""

    def __init__(
        self, settings: DetectorSettings, channels: int, size: Sequence[int], *, pretrained: bool = True
    ) -> None:
        super().__init__()
        self.settings = settings
        self.channels = channels
        self.size = tuple(size)
        self.refuse_other_ranks()
        self.build(pretrained=pretrained)

    def __repr__(self) -> str:
        """One line; `list(detector.named_modules())` has the networks."""
        values = sum(parameter.numel() for parameter in self.parameters())
        size = times(self.size)
        kept = ", fitted buffers" if any(True for _ in self.buffers()) else ""
        return (
            f"<{type(self).__name__} {self.settings.name!r} of {self.channels}×{size}: "
            f"{values:,} parameters{kept}>"
        )

    def build(self, *, pretrained: bool) -> None:
        """The modules and buffers, for the `settings`, `channels` and `size` that the detector has by then.
        `pretrained`: whether weights named in the settings are read."""

    def refuse_other_ranks(self) -> None:
        """`ValueError` for images of a rank that is not in `ranks`."""
        if len(self.size) not in self.ranks:
            raise ValueError(
                f"detector {self.settings.name!r} takes rank {sorted(self.ranks)}, "
                f"and the preprocessing gives images of size {self.size}"
            )

    def stages(self) -> Iterator[Stage]:
        raise NotImplementedError

    def score(self, batch: Batch, noise: ScoringNoise, *, maps: bool) -> Scores:
        """The parts of each image and, with `maps`, its maps. Without, none are given and what they alone
        need is not computed; the parts are the same bits either way."""
        raise NotImplementedError

    def why_no_graph(self) -> str | None:
        """Why the score, as the detector is set, is no graph of an image's pixels, in words that complete "it
        ..."; None where it is one. A graph may take the gradients that `score` takes, and what it draws
        from `noise`, but no step may depend on a value, nor run code other than torch's."""
        return None

    def mixture(self) -> Mixture:
        """How the parts become the image score; the one part as it is."""
        return Mixture({self.part: 1.0}, scaled=False)

    def map_mixture(self) -> Mixture | None:
        """How the map parts become the map, the one map as it is; None where the detector gives no map."""
        return Mixture({self.part: 1.0}, scaled=False) if self.gives_map else None

    def one_part(
        self, values: Tensor, anomaly_map: Tensor | None = None, *, tail: Literal["upper", "two"] = "upper"
    ) -> Scores:
        """The scores of a detector of one part: `[N]`, and its map `[N, 1, *size]` where it is wanted."""
        maps = {} if anomaly_map is None else {self.part: anomaly_map}
        return Scores({self.part: Part(values, tail)}, maps)

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

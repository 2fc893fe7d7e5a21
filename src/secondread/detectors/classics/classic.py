"""A classic: an outlier model of scikit-learn or PyOD on pixels, on pooled features or on patches."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, model_validator
from torch import Tensor

from secondread.detectors.blocks.encoder_settings import STRIDES, refuse_learning
from secondread.detectors.blocks.feature_maps import FeatureMaps, FeatureMapsSettings
from secondread.detectors.blocks.pooled_map import PooledMapSettings
from secondread.detectors.blocks.representation import (
    Representation,
    RepresentationSettings,
    standardisation,
)
from secondread.detectors.contract import (
    Batch,
    Batches,
    Detector,
    Mixture,
    Scores,
    ScoringNoise,
    Stage,
    Tiny,
)
from secondread.detectors.detector_settings import DetectorSettings, StageSettings
from secondread.errors import UserError
from secondread.estimators.outlier_models import AnyOutlierModel
from secondread.estimators.outlier_models.model import Judge
from secondread.estimators.outlier_models.of_scikit_learn import LOF, IsolationForest
from secondread.estimators.principal_components import principal_components
from secondread.estimators.reservoir import add_to_reservoir
from secondread.networks.encoder import EncoderSettings
from secondread.settings.base import Count, Width


class ClassicSettings(RepresentationSettings, FeatureMapsSettings, PooledMapSettings, DetectorSettings):
    name: Literal["classic"] = "classic"
    model: AnyOutlierModel = Field(description="its name, or a mapping of its name and settings")
    of: Literal["pixels", "features", "patches"] = Field(  # type: ignore[assignment]
        "features",
        description="pixels: a thumbnail; features: pooled maps of a frozen encoder; patches: each position "
        "of its maps, so that there is a map",
    )
    image_score: Literal["max", "mean", "top", "quantile"] = Field(
        "top", description="patches: of their scores; top: the mean of the highest share"
    )
    smoothing: float = Field(
        4.0, ge=0, le=1_000, description="patches: standard deviation in pixels of the map's blur"
    )
    standardise: bool = Field(True, description="each coordinate, on the normals")
    variance: float | None = Field(
        None, gt=0, lt=1, description="share of it that principal components keep; empty = all of it"
    )
    components: Width | None = Field(
        None, description="principal components, at most; with neither the coordinates stay as they are"
    )
    most: int = Field(
        10_000,
        ge=2,
        le=10**6,
        description="normals, or patches, that it is fitted on, a uniform sample where there are more",
    )
    patches_of_each: Count = Field(64, description="patches: drawn from each normal")

    @model_validator(mode="after")
    def _pretrained(self) -> Self:
        if self.of != "pixels":
            refuse_learning(self.encoder, f"{self.of} need")
        return self

    @property
    def default_strides(self) -> tuple[int, ...]:
        return STRIDES[1:] if self.of == "patches" else STRIDES


class Classic(Detector):
    """score = what the library's model says of an image's vector x, with higher = more abnormal.

    The model is `settings.model` (`estimators.outlier_models`). x is the image's thumbnail or its pooled
    features (`detectors.representation`), or there is one x for each position of the encoder's maps, on the
    grid of the first level; then the score is that of the positions which `image_score` says, and the map is
    theirs, placed by the cells and blurred. x is standardised on the normals, and projected on their
    principal components where asked for, in float64.

    Fitted on at most `most` of the x of normals, of patches `patches_of_each` drawn from each image, with a
    seed that is drawn from torch's global generator when the detector is built. The fitted arrays are buffers
    called `fitted_NAME`. The library scores on the CPU, wherever the encoder is; each image alone.

    UserError where the model's library is not installed, and where there are too few normals for it.

    Sources: those of the models. The fitted state of other models of these libraries is not to be had as
    arrays here, and they are refused by their names.
    """

    Settings = ClassicSettings
    settings: ClassicSettings
    ranks = frozenset({2, 3})
    part = "outlyingness"

    def build(self, *, pretrained: bool) -> None:
        settings, model = self.settings, self.settings.model
        model.refuse_absent()
        given = (self.channels, self.size)
        self.maps, self.represent = None, None
        if settings.of == "patches":
            self.maps = FeatureMaps(settings, *given, pretrained=pretrained)
            dimensions = sum(self.maps.channels)
        else:
            self.represent = Representation(settings, *given, pretrained=pretrained)
            dimensions = self.represent.dimensions
        self.projects = settings.variance is not None or settings.components is not None
        self.seed: Tensor
        self.mean: Tensor
        self.scale: Tensor
        self.matrix: Tensor | None
        self.register_buffer("seed", torch.randint(2**31 - 1, ()))
        self.register_buffer("mean", torch.zeros(dimensions, dtype=torch.float64))
        self.register_buffer("scale", torch.ones(dimensions, dtype=torch.float64))
        self.register_buffer(
            "matrix", torch.empty(0, dimensions, dtype=torch.float64) if self.projects else None
        )
        known = {"1": 1} if self.projects else {"1": 1, "d": dimensions}
        self.grows: Mapping[str, tuple[str | None, ...]] = {"matrix": ("d", None)}
        for name, axes in model.axes().items():
            kind = torch.long if name in model.whole else torch.float64
            shape = [known.get(axis, 0) for axis in axes]
            self.register_buffer(f"fitted_{name}", torch.zeros(shape, dtype=kind))
            grown = tuple(None if axis in known else axis for axis in axes)
            self.grows = {**self.grows, f"fitted_{name}": grown}
        kept = "features" if self.represent is None else self.represent.kept
        rows = [name for name, axes in model.axes().items() if axes in (("n", "d"), ("m", "d"))]
        self.keeps = {f"fitted_{name}": kept for name in rows}
        self.sample, self.seen = torch.empty(0, dimensions), 0
        self.said: tuple[str, ...] = ()
        self.judge: Judge | None = None

    def stages(self) -> Iterator[Stage]:
        yield Stage("model", {"normal": 1.0}, collect=self.collect, finish=self.finish)

    def collect(self, batches: Batches) -> None:
        for rows in self.rows(batches["normal"]):
            generator = torch.Generator().manual_seed(self.seen)
            drawn = torch.randperm(len(rows), generator=generator)[: self.settings.patches_of_each]
            self.sample, self.seen = add_to_reservoir(self.sample, self.seen, rows[drawn], self.settings.most)

    def finish(self) -> None:
        """UserError where the normals are too few, or the library refuses them."""
        settings, model = self.settings, self.settings.model
        x = self.sample.double()
        self.sample = self.sample[:0]
        if settings.standardise:
            mean, scale = standardisation(x)
            self.mean.copy_(mean)
            self.scale.copy_(scale)
        if self.projects:
            z = (x - self.mean.cpu()) / self.scale.cpu()
            directions = principal_components(z - z.mean(dim=0), settings.variance, model.name)
            self.matrix = directions[: settings.components].to(self.mean)
        rows = self.coordinates(x)
        self._refuse_few(*rows.shape)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                found = model.fit(rows, int(self.seed))
            except ValueError as error:
                told = " ".join(str(error).split())
                others = ", ".join(name for name in type(model).model_fields if name != "name")
                raise UserError(
                    f"{model.name} cannot be fitted to these normals: {told}"
                    + (f" (settings of detector.model are {others})" if others else "")
                ) from error
        for name, values in found.items():
            made = torch.from_numpy(np.array(values, order="C"))
            self.register_buffer(f"fitted_{name}", made.to(getattr(self, f"fitted_{name}")))
        self.judge = None
        self.said = (
            f"{model.name} of {model.package} is fitted on {len(rows):,} of {self.seen:,} "
            f"{'patches' if self.maps is not None else 'normals'} in {rows.shape[1]:,} coordinates",
            *dict.fromkeys(f"{model.package}: {' '.join(str(one.message).split())}" for one in caught),
        )

    def why_no_graph(self) -> str | None:
        return "asks a fitted model of scikit-learn or PyOD, which is no network"

    def score(self, batch: Batch, noise: ScoringNoise, *, maps: bool) -> Scores:
        if self.judge is None:
            self.judge = self.settings.model.judge(self._fitted())
        found = [self.judge(self.coordinates(rows)) for rows in self.rows(batch, valid_only=False)]
        scores = torch.from_numpy(np.stack(found)).to(batch.images)
        if self.maps is None:
            return self.one_part(scores[:, 0])
        scores = scores.view(-1, 1, *self.maps.grids[0])
        value = self.settings.pooled(scores, self.maps.valid(batch.valid, 0))
        smoothing = self.settings.smoothing
        if not maps:
            return self.one_part(value)
        return self.one_part(value, self.maps.place(scores, 0, smoothing=smoothing, valid=batch.valid))

    def map_mixture(self) -> Mixture | None:
        return None if self.maps is None else Mixture({self.part: 1.0}, scaled=False)

    def notes(self) -> tuple[str, ...]:
        return self.said

    @classmethod
    def tiny(cls, rank: int) -> Tiny:
        stages = {"model": StageSettings(epochs=1, batch_size=4)}
        if rank == 3:
            forest = IsolationForest(trees=5)
            settings = ClassicSettings(model=forest, of="pixels", side=4, variance=0.9)
            return Tiny(settings, 1, (8, 8, 8), stages)
        encoder = EncoderSettings(name="squeezenet1_1", weights="random")
        factor = LOF(neighbours=3)
        settings = ClassicSettings(model=factor, of="patches", encoder=encoder, strides=(8,), smoothing=1.0)
        return Tiny(settings, 1, (32, 32), stages)

    def rows(self, batch: Batch, *, valid_only: bool = True) -> Sequence[Tensor]:
        """The x of each image, `[1, D]`, or of its patches, `[positions, D]`, float32 on the CPU."""
        if self.represent is not None:
            return self.represent.of(batch).cpu().split(1)
        assert self.maps is not None
        patches = self.maps.on_grid(self.maps.of(batch)).flatten(2).transpose(1, 2).cpu()
        valid = self.maps.valid(batch.valid, 0) if valid_only else None
        if valid is None:
            return patches.unbind()
        return [own[there] for own, there in zip(patches, valid.flatten(1).cpu(), strict=True)]

    def coordinates(self, rows: Tensor) -> NDArray[np.float64]:
        """x `[n, D]` as the model sees it, `[n, d]`."""
        x = (rows.numpy().astype(np.float64) - self.mean.cpu().numpy()) / self.scale.cpu().numpy()
        return x if self.matrix is None else x @ self.matrix.cpu().numpy().T

    def load_state_dict(self, *args: Any, **kwargs: Any) -> Any:
        self.judge = None
        return super().load_state_dict(*args, **kwargs)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"judge": None}

    def _fitted(self) -> dict[str, NDArray[Any]]:
        names = self.settings.model.axes()
        return {name: getattr(self, f"fitted_{name}").cpu().numpy() for name in names}

    def _refuse_few(self, rows: int, coordinates: int) -> None:
        least, setting = self.settings.model.least(coordinates)
        if rows >= least:
            return
        where = f"detector.{'' if setting == 'components' and self.projects else 'model.'}{setting}"
        patches = self.maps is not None
        raise UserError(
            f"{self.settings.model.name} needs at least {least} {'patches' if patches else 'normal images'} "
            f"with these settings, and found {rows}; {f'set {where} lower or ' if setting else ''}add normals"
        )

"""Patch mixture: a Dirichlet-process mixture in place of a bank (Schulthess, Konukoglu, MICCAI 2025)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import torch
from pydantic import Field, PositiveFloat
from torch import Tensor, nn

from secondread.detectors.blocks.patch_tokens import PatchTokens, PatchTokensSettings
from secondread.detectors.contract import Batch, Batches, Detector, Scores, ScoringNoise, Stage, Tiny
from secondread.detectors.detector_settings import DetectorSettings, StageSettings
from secondread.errors import UserError
from secondread.estimators.dirichlet_mixture import DirichletMixture
from secondread.estimators.reservoir import add_to_reservoir
from secondread.networks.encoder import EncoderSettings
from secondread.networks.precision import full_precision
from secondread.settings.base import Count, Width


class PatchMixtureSettings(PatchTokensSettings, DetectorSettings):
    name: Literal["patch-mixture"] = "patch-mixture"
    image_score: Literal["max", "mean", "top"] = "top"
    top_share: float = Field(0.01, gt=0, le=1, description="share of the patches that `top` averages")
    components: int = Field(500, ge=2, le=10_000, description="of the mixture, at most")
    form: Literal["full", "diagonal"] = Field("full", description="of the components' covariances")
    regularisation: PositiveFloat = Field(1e-3, description="added to every variance")
    rate: float = Field(0.2, gt=0, le=1, description="of the moving averages of the statistics")
    distance: Literal["cosine", "density", "mahalanobis"] = Field(
        "cosine", description="to the nearest component's mean; -log density; to the nearest in its own units"
    )
    projection: Width | None = Field(
        None, description="directions in which patches are largest, in place of all; then of unit length anew"
    )
    images: Count = Field(
        1_000,
        description="normals whose patches are kept in the fit, a uniform sample where there are more",
    )
    passes: Count = Field(40, description="over them")
    together: Count = Field(12, description="images in a step")


class PatchMixture(Detector):
    """d_p = min over components k of 1 - cos(x_p, m_k), or -log p(x_p), or the least Mahalanobis distance;
    score = the mean of the highest `top_share` of d over patches; the map is d, interpolated and blurred.

    x_p are patches of unit length of a frozen encoder (`blocks.patch_tokens`), projected where asked for on
    the eigenvectors of their mean product x x^T; p is a mixture whose number of components the data choose
    (`estimators.dirichlet_mixture`). So the bundle's size and the time of a score do not grow with the data.

    The fit keeps the patches of at most `images` normals in half precision while it lasts, and takes
    `passes` over them in steps of `together` images, in an order drawn from a seed that is drawn from torch's
    global generator when the detector is built. Components of weight below 1e-6 are not asked.

    UserError where one step has fewer patches than there are components; ValueError for a projection of more
    directions than patches have.

    Source: N. Schulthess, E. Konukoglu, Anomaly detection by clustering DINO embeddings using a Dirichlet
    process mixture, MICCAI 2025, and the authors' code (NicoSchulthess/anomalydino-dpmm).
    """

    Settings = PatchMixtureSettings
    settings: PatchMixtureSettings
    ranks = frozenset({2, 3})
    part = "distance"
    gives_map = True

    def build(self, *, pretrained: bool) -> None:
        settings = self.settings
        self.tokens = PatchTokens(settings, self.channels, self.size, pretrained=pretrained)
        width = self.tokens.dimensions
        kept = settings.projection or width
        if kept > width:
            raise ValueError(f"projection: {kept} directions, and patches have {width}")
        self.seed: Tensor
        self.directions: Tensor | None
        self.register_buffer("seed", torch.randint(2**31 - 1, ()))
        self.register_buffer("directions", None if settings.projection is None else torch.eye(kept, width))
        self.patches_of_normals = DirichletMixture(
            settings.components,
            kept,
            form=settings.form,
            regularisation=settings.regularisation,
            rate=settings.rate,
        )
        self.nats: list[float] = []
        self.sample: Tensor
        self.there: Tensor
        self.seen = 0
        self._forget()

    def stages(self) -> Iterator[Stage]:
        yield Stage(
            "mixture", {"normal": 1.0}, prepare=self.tokens.prepare, collect=self.collect, finish=self.finish
        )

    def collect(self, batches: Batches) -> None:
        batch = batches["normal"]
        patches, there = self.tokens(batch).cpu(), self.tokens.there(batch.valid)
        seen = torch.ones(patches.shape[:2], dtype=torch.bool) if there is None else there.cpu()
        self.sample, _ = add_to_reservoir(self.sample, self.seen, patches.half(), self.settings.images)
        self.there, self.seen = add_to_reservoir(self.there, self.seen, seen, self.settings.images)

    def finish(self) -> None:
        """The projection and the mixture. UserError where there are too few patches."""
        settings, device = self.settings, self.patches_of_normals.mean.device
        generator = torch.Generator().manual_seed(int(self.seed))
        if self.directions is not None:
            self._project()
        for number in range(settings.passes):
            order = torch.randperm(len(self.sample), generator=generator)
            losses: list[float] = []
            for chosen in order.tensor_split(max(1, -(-len(order) // settings.together))):
                rows = self._coordinates(self.sample[chosen][self.there[chosen]].to(device))
                if not number and not losses:
                    self._refuse_few(len(rows))
                    self.patches_of_normals.begin(rows, generator)
                losses.append(float(self.patches_of_normals.step(rows)))
            self.nats.append(sum(losses) / len(losses))
        self._forget()

    def score(self, batch: Batch, noise: ScoringNoise, *, maps: bool) -> Scores:
        patches, there = self.tokens(batch), self.tokens.there(batch.valid)
        rows = self._coordinates(patches.flatten(0, 1))
        mixture = self.patches_of_normals
        if self.settings.distance == "cosine":
            found = mixture.cosine(rows)
        elif self.settings.distance == "density":
            found = -mixture.density(rows)
        else:
            found = mixture.mahalanobis(rows)
        distances = found.view(patches.shape[:2])
        value = self.tokens.judged(distances, there)
        return self.one_part(value, self.tokens.placed(distances, batch.valid) if maps else None)

    def notes(self) -> tuple[str, ...]:
        used = int(self.patches_of_normals.kept.sum())
        told = f"patch-mixture uses {used} of {self.settings.components} components"
        if self.nats:
            told += f"; -log density fell from {self.nats[0]:.5g} to {self.nats[-1]:.5g} nats per patch"
        return (told,)

    @classmethod
    def tiny(cls, rank: int) -> Tiny:
        settings = PatchMixtureSettings(
            encoder=EncoderSettings(name="squeezenet1_1", weights="random"),
            strides=(8,),
            components=6,
            projection=8,
            passes=4,
            together=4,
            top_share=0.1,
            smoothing=1.0,
        )
        size = (32, 32) if rank == 2 else (8, 32, 32)
        return Tiny(settings, 1, size, {"mixture": StageSettings(batch_size=4)})

    def _coordinates(self, patches: Tensor) -> Tensor:
        """`[n, K]`, of unit length."""
        if self.directions is None:
            return patches.float()
        with full_precision(patches):
            return nn.functional.normalize(patches.float() @ self.directions.T, dim=1)

    def _project(self) -> None:
        """The largest eigenvectors of the mean of x x^T, each with its largest entry positive."""
        assert self.directions is not None
        width = self.directions.shape[1]
        products = torch.zeros(width, width, dtype=torch.float64)
        for images, there in zip(self.sample.split(16), self.there.split(16), strict=True):
            rows = images[there].double()
            products += rows.T @ rows
        found = torch.linalg.eigh(products).eigenvectors.flip(1)[:, : len(self.directions)].T
        sign = found.gather(1, found.abs().argmax(dim=1, keepdim=True)).sign()
        self.directions.copy_(found * sign)

    def _refuse_few(self, rows: int) -> None:
        if rows < self.settings.components:
            raise UserError(
                f"patch-mixture begins {self.settings.components} components with the patches of one step, "
                f"of which there are {rows}; lower detector.components or raise detector.together"
            )

    def _forget(self) -> None:
        positions, width = self.tokens.positions, self.tokens.dimensions
        self.sample = torch.empty(0, positions, width, dtype=torch.float16)
        self.there = torch.empty(0, positions, dtype=torch.bool)
        self.seen = 0

"""Normal or abnormal as the two components of a flow's latent: start, losses and posterior.

FlowGMM's objective (Izmailov et al., ICML 2020) for medical images: many normals, unlabelled images with an
unknown share of abnormal ones, and few or no labelled abnormal images. Shared by the detectors whose flow
ends in a mixture.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
from pydantic import Field, NonNegativeFloat, PositiveFloat, model_validator
from torch import Tensor, nn
from torch.nn.functional import softplus

from secondread.detectors.contract import Batch, Batches, Stage
from secondread.errors import UserError
from secondread.estimators.calibrated_odds import calibrated_line
from secondread.estimators.linear_ratio import cross_validated, logistic_ratio
from secondread.estimators.mixture_proportion import anomaly_rate
from secondread.flows.mixture import GaussianMixture, PooledMixture
from secondread.settings.base import Count, Settings, Width

FEW = 0.05
"""An anomaly rate estimated below this is worth a warning."""
LEAST_RATE = 0.01
"""The abnormal component keeps at least this weight at the start."""
FLOOR = 0.05
"""Added to every standard deviation, as a share of their mean."""
LEAST_SHRINKAGE = 0.05
FOLDS = 5
PENALTY = 3.0

LINE = "classes.line"
"""The buffer that calibration fits, in detectors that call their mixture `classes`; earlier bundles lack it
(`Detector.added_later`)."""

Frozen = Callable[[Tensor], tuple[Tensor, ...]] | None
Other = Literal["unlabelled", "abnormal"]


class MixtureSettings(Settings):
    learns_from: tuple[Other, ...] = Field(
        ("unlabelled",),
        description="cohorts beside normal: unlabelled images, labelled abnormal ones, or both",
    )
    channels: Width | None = Field(
        None, description="of the latent map whose means follow the mixture; empty = all"
    )
    start: Literal["moments", "apart", "random"] = Field(
        "moments",
        description="where components begin: what normals and unlabelled images show; or `separation` apart; "
        "or at `separation` times standard normal vectors, as in FlowGMM. The last two stay there, with unit "
        "covariances",
    )
    separation: PositiveFloat = Field(
        6.0, description="apart: distance of the means in standard deviations; random: FlowGMM has 1"
    )
    learn: bool = Field(True, description="moments: train means and covariance with the flow")
    pace: PositiveFloat = Field(10.0, description="multiplies the learning rate of the mixture")
    anomaly_rate: float | None = Field(
        None, gt=0, lt=1, description="share of abnormal images among the unlabelled; empty = estimated"
    )
    prior_images: NonNegativeFloat = Field(
        50.0, description="how many images the Beta prior around that rate is worth"
    )
    unlabelled: NonNegativeFloat = Field(1.0, description="weight of the unlabelled images' likelihood")
    labelled: NonNegativeFloat = Field(1.0, description="weight of the labelled abnormal images' likelihood")
    cross_entropy: NonNegativeFloat = Field(0.1, description="weight of the labels' cross-entropy")
    positive_unlabelled: NonNegativeFloat = Field(
        0.0, description="weight of the non-negative risk of normal against unlabelled"
    )
    consistency: NonNegativeFloat = Field(1.0, description="weight of the agreement of two views")
    ramp: Count = Field(3, description="epochs over which that weight rises")
    calibrate: bool = Field(
        False,
        description="after training, on unlabelled images and held-out normals: the log odds pass a line, so "
        "that the posterior says how often an unlabelled image is abnormal; the order of images stays. "
        "Without unlabelled images it does nothing",
    )

    @property
    def shares(self) -> dict[str, float]:
        """Every cohort that is learned from, and its share of a batch: all have the same."""
        cohorts = ("normal", *self.learns_from)
        return dict.fromkeys(cohorts, 1 / len(cohorts))

    @model_validator(mode="after")
    def _consistent(self) -> MixtureSettings:
        if not self.learns_from or len(set(self.learns_from)) < len(self.learns_from):
            raise ValueError("learns_from names unlabelled, abnormal or both, each once")
        return self


@dataclass(frozen=True)
class Latents:
    """Of one cohort's images: base, log p(x) with a standard normal latent, `[n]` nats; s, the pooled part,
    `[n, k]`; dimensions, of what base is the density, `[n]`; other, s of the same images' other view."""

    base: Tensor
    s: Tensor
    dimensions: Tensor
    other: Tensor | None = None


class ClassMixture(nn.Module):
    """p(x | class) of a flow whose pooled latent s `[n, k]` has one Gaussian per class; class 0 is normal.

        log p(x | c) = base(x) + t_c(s),   t_c = log N(s; mu_c, Sigma) - log N(s; 0, I)
        log p(x)     = base(x) + log ((1 - r) exp t_0 + r exp t_1)
        log odds     = t_1 - t_0 + log r / (1 - r),   -log p(normal | x) = softplus(log odds)

    Loss, in nats per dimension D of x:

        - normals         -log p(x | 0) / D
        - unlabelled      -log p(x) / D, and of all n of them -log Beta(r) / (D n)
        - abnormal        -log p(x | 1) / D
        - cross-entropy   of the labelled images' classes, both classes weighing half
        - positive_unlabelled   (1 - r) E_n l(0) + max(0, E_u l(1) - (1 - r) E_n l(1)), the non-negative risk
                          (l the logistic loss of the log odds), which needs no abnormal label
        - consistency     -log p(x | c') / D of an unlabelled image, c' the likelier class of its other view

    Start `moments`, from s of every image: mu_0 and Sigma (diagonal, shared) from normals;
    mu_1 = mu_0 + h d, where d joins two estimates, each weighted by its precision: that from unlabelled
    images, (m_u - m_n) / r, of variance (1/n_u + 1/n_n) / r² per coordinate in units of Sigma, and that of k
    labelled ones, m_a - m_n, of variance 1/k + 1/n_n; h is the James-Stein factor, which keeps chance
    from looking like distance (one or two coordinates are not shrunk). Start `apart`: mu_0 = 0, mu_1 at
    `separation`, Sigma = I, fixed; `random`: both drawn, FlowGMM's own.

    With `calibrate` the log odds that are told are a o + b of those, by `estimators.calibrated_odds`: from o
    of the unlabelled images and of held-out normals, and from r as it was given or estimated. The map's
    shares still add up to them. Without held-out normals they stay as they are.

    r is given, or estimated on s as `density-ratio` does it (`metrics.mixture_proportion`), or 1/2 without
    unlabelled images; training moves it under its Beta prior. The buffer `estimated_rate` keeps the estimate.

    Sources: P. Izmailov, P. Kirichenko, M. Finzi, A. G. Wilson, Semi-supervised learning with normalizing
    flows, ICML 2020; R. Kiryo, G. Niu, M. du Plessis, M. Sugiyama, Positive-unlabeled learning with
    non-negative risk estimator, NeurIPS 2017; W. James, C. Stein, Estimation with quadratic loss, 1961.
    """

    def __init__(self, channels: int, settings: MixtureSettings, *, pooled: bool = True) -> None:
        """`channels`: of the latent map whose means over positions are s; or without `pooled` the length of s
        itself, all latent variables of an image."""
        super().__init__()
        self.settings = settings
        learned = settings.start == "moments"
        mixture = GaussianMixture(
            2,
            settings.channels or channels,
            means="random" if settings.start == "random" else "simplex",
            separation=settings.separation,
            learn_means=settings.learn and learned,
            covariance="shared" if learned else "unit",
            learn_covariance=settings.learn,
            learn_weights="unlabelled" in settings.learns_from,
        )
        self.latent: PooledMixture | GaussianMixture = PooledMixture(channels, mixture) if pooled else mixture
        self.estimated_rate: Tensor
        self.prior: Tensor
        self.unlabelled_images: Tensor
        self.epochs: Tensor
        self.register_buffer("estimated_rate", torch.full((), torch.nan))
        self.register_buffer("prior", torch.ones(2))
        self.register_buffer("unlabelled_images", torch.ones(()))
        self.register_buffer("epochs", torch.zeros(()))
        self.line: Tensor
        self.register_buffer("line", torch.tensor([1.0, 0.0]))
        self.kept: dict[str, list[Tensor]] = {}

    @property
    def mixture(self) -> GaussianMixture:
        """Of s."""
        return self.latent.mixture if isinstance(self.latent, PooledMixture) else self.latent

    @property
    def pool(self) -> PooledMixture:
        """What takes s from a latent map. TypeError where s is all latent variables."""
        if not isinstance(self.latent, PooledMixture):
            raise TypeError("this mixture is of all latent variables, not of pooled ones")
        return self.latent

    def keep(self, cohort: str, s: Tensor) -> None:
        """What `begin` starts from, s of images of this cohort."""
        self.kept.setdefault(cohort, []).append(s.detach().double().cpu())

    @torch.no_grad()
    def begin(self) -> None:
        """Set the components and the rate from what was kept. UserError for a cohort of fewer than two."""
        s = {name: torch.cat(parts) for name, parts in self.kept.items()}
        self.kept = {}
        few = [name for name, values in s.items() if len(values) < 2]
        if few or not s:
            raise UserError(
                f"a mixture needs at least two images of {few[0] if few else 'the cohort normal'}"
            )
        mean = s["normal"].mean(dim=0)
        deviation = s["normal"].std(dim=0)
        deviation = deviation + FLOOR * deviation.mean().clamp_min(1e-6)
        away = {name: (values - mean) / deviation for name, values in s.items()}
        rate = self._begin_rate(away)
        if self.settings.start == "moments":
            self.mixture.means.copy_(torch.stack((mean, mean + deviation * _difference(away, rate))))
            self.mixture.log_deviation.copy_(deviation.log()[None])

    def terms(self, cohorts: Mapping[str, Latents]) -> dict[str, Tensor]:
        """The loss, by name; see the class. Cohort names: normal, unlabelled, abnormal."""
        weight = {
            "normal": 1.0, "unlabelled": self.settings.unlabelled, "abnormal": self.settings.labelled
        }  # fmt: skip
        log_weights = self.mixture.log_weights
        images = sum(len(latents.s) for latents in cohorts.values())
        odds: dict[str, Tensor] = {}
        found: dict[str, Tensor] = {}
        for name, latents in cohorts.items():
            t = self.mixture.class_log_ratio(latents.s)
            odds[name] = t[:, 1] - t[:, 0]
            if name == "unlabelled":
                density = latents.base + torch.logsumexp(t + log_weights, dim=1)
                if latents.other is not None and self.settings.consistency:
                    with torch.no_grad():
                        likelier = self.mixture.log_posterior(latents.other).argmax(dim=1, keepdim=True)
                    agreed = (latents.base + t.gather(1, likelier)[:, 0]) / latents.dimensions
                    ramp = min(1.0, float(self.epochs + 1) / self.settings.ramp)
                    found["consistency"] = -self.settings.consistency * ramp * agreed.sum() / images
            else:
                density = latents.base + t[:, 1 if name == "abnormal" else 0]
            found[name] = -weight[name] * (density / latents.dimensions).sum() / images
        if "unlabelled" in cohorts:
            latents = cohorts["unlabelled"]
            share = len(latents.s) / images / self.unlabelled_images
            found["rate"] = -share * self._log_prior() / latents.dimensions.mean()
            if self.settings.positive_unlabelled:
                found["positive_unlabelled"] = self.settings.positive_unlabelled * self._risk(odds)
        if "abnormal" in cohorts and self.settings.cross_entropy:
            each = softplus(odds["normal"]).mean() + softplus(-odds["abnormal"]).mean()
            found["cross_entropy"] = self.settings.cross_entropy * each / 2
        return found

    def calibration(self, odds_of: Callable[[Batch], Tensor], frozen: Frozen = None) -> Iterator[Stage]:
        """The stage `posterior` behind all others, where calibration is asked for. `odds_of`: `own_odds` of
        images, as scoring has them."""
        if not (self.settings.calibrate and "unlabelled" in self.settings.learns_from):
            return
        odds: list[Tensor] = []

        def collect(batches: Batches) -> None:
            odds.append(odds_of(batches["unlabelled"]).double().cpu())

        @torch.no_grad()
        def examine(held_out: Iterator[Batch], _: torch.Generator) -> dict[str, float]:
            normal = torch.cat([odds_of(batch).double().cpu() for batch in held_out])
            rate = self.settings.anomaly_rate or min(max(float(self.estimated_rate), LEAST_RATE), 0.5)
            slope, shift = calibrated_line(normal.numpy(), torch.cat(odds).numpy(), rate)
            self.line.copy_(torch.tensor((slope, shift)))
            return {"slope": slope, "shift": shift}

        on = {"unlabelled": 1.0}
        yield Stage("posterior", on, frozen=frozen, collect=collect, examine=examine, keeps=(LINE,))

    def log_odds(self, s: Tensor) -> Tensor:
        """log p(abnormal | x) - log p(normal | x), `[n]`, calibrated where that was asked for."""
        return self.line[0] * self.own_odds(s) + self.line[1]

    def log_odds_map(self, z: Tensor, valid: Tensor | None) -> Tensor:
        """Each position's share of the log odds, `[N, 1, *S]`: exact, since Sigma is shared and s a sum."""
        s = self.pool.pooled(z, valid)
        k = s.shape[1]
        weight = torch.ones_like(z[:, :1]) if valid is None else valid.to(z)
        each = (-1, *(1 for _ in z.shape[1:]))
        count = weight.flatten(1).sum(dim=1).clamp_min(1).view(each)
        deviation = self.mixture.deviation[0]
        slope = self.line[0] * (self.mixture.means[1] - self.mixture.means[0]) / deviation.square()
        rest = (self.log_odds(s) - s @ slope).view(each)
        shares = (z[:, :k].float() * slope.view(1, *each[:-1])).sum(dim=1, keepdim=True)
        return weight * (shares / count.sqrt() + rest / count)

    def notes(self) -> tuple[str, ...]:
        """The anomaly rate, and a warning where it is low."""
        if "unlabelled" not in self.settings.learns_from:
            return ()
        return (*self._on_rate(), *self._on_calibration())

    def _on_calibration(self) -> tuple[str, ...]:
        if not self.settings.calibrate:
            return ()
        slope, shift = self.line.tolist()
        if (slope, shift) == (1.0, 0.0):
            return ("without held-out normals the posterior is not calibrated",)
        return (f"the posterior is calibrated: its log odds times {slope:.3g}, {shift:+.3g}",)

    def _on_rate(self) -> tuple[str, ...]:
        now = float(self.mixture.log_weights[1].detach().exp())
        first = float(self.estimated_rate)
        if math.isnan(first) and self.settings.anomaly_rate is None:
            return ()
        if math.isnan(first):
            return (f"the anomaly rate was given; training ended at {100 * now:.1f} %",)
        told = f"an estimated {100 * first:.1f} % of the unlabelled images are abnormal; training ended at "
        told += f"{100 * now:.1f} %"
        if first >= FEW or "abnormal" in self.settings.learns_from:
            return (told,)
        return (
            f"{told}: too few to learn from, so that the posterior may rank by chance; add unlabelled images "
            "among which findings are commoner, or label some abnormal ones",
        )

    def own_odds(self, s: Tensor) -> Tensor:
        """The log odds as the mixture itself has them, `[n]`."""
        posterior = self.mixture.class_log_ratio(s) + self.mixture.log_weights
        return posterior[:, 1] - posterior[:, 0]

    def each_epoch(self, epoch: int, _: Iterator[Batches]) -> None:
        self.epochs.fill_(epoch + 1)

    def _begin_rate(self, away: Mapping[str, Tensor]) -> float:
        """Sets the component weights and their prior; returns the rate."""
        if "unlabelled" not in away:
            self.mixture.set_weights((0.5, 0.5))
            return 0.5
        self.unlabelled_images.fill_(len(away["unlabelled"]))
        rate = self.settings.anomaly_rate
        if rate is None:
            normal, unlabelled = away["normal"].numpy(), away["unlabelled"].numpy()
            fit = partial(logistic_ratio, penalty=PENALTY)
            self.estimated_rate.fill_(anomaly_rate(*cross_validated(normal, unlabelled, fit, FOLDS)))
            rate = min(max(float(self.estimated_rate), LEAST_RATE), 1 - LEAST_RATE)
        self.mixture.set_weights((1 - rate, rate))
        self.prior.copy_(1 + self.settings.prior_images * torch.tensor((1 - rate, rate)))
        return rate

    def _log_prior(self) -> Tensor:
        return ((self.prior - 1) * self.mixture.log_weights).sum()

    def _risk(self, odds: Mapping[str, Tensor]) -> Tensor:
        share = self.mixture.log_weights.detach().exp()
        prior = (share[1] / share[0]).log()
        normal, unlabelled = odds["normal"] + prior, odds["unlabelled"] + prior
        as_abnormal = softplus(-unlabelled).mean() - share[0] * softplus(-normal).mean()
        return share[0] * softplus(normal).mean() + as_abnormal.clamp_min(0)


def _difference(away: Mapping[str, Tensor], rate: float) -> Tensor:
    """mu_1 - mu_0 in units of Sigma, `[k]`, from s in these units and relative to mu_0."""
    normals = len(away["normal"])
    estimates: list[tuple[Tensor, float]] = []
    if "unlabelled" in away:
        variance = (1 / len(away["unlabelled"]) + 1 / normals) / rate**2
        estimates.append((away["unlabelled"].mean(dim=0) / rate, variance))
    if "abnormal" in away:
        estimates.append((away["abnormal"].mean(dim=0), 1 / len(away["abnormal"]) + 1 / normals))
    precision = sum(1 / variance for _, variance in estimates)
    joined = torch.stack([value / variance for value, variance in estimates]).sum(dim=0) / precision
    excess = max(0, len(joined) - 2) / precision
    shrinkage = 1 - excess / float(joined.square().sum().clamp_min(1e-12))
    return joined * max(shrinkage, LEAST_SHRINKAGE)

"""A Dirichlet-process mixture of Gaussians by stick breaking, fitted batch by batch with moving averages."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn

from secondread.networks.precision import full_precision

NEGLIGIBLE = 1e-6
"""Of a component's weight: below it, it is not asked at scoring."""
NO_ROWS = 1e-12
"""Of a component's share: below it nothing says where it lies any more, and it stays."""
NUMBERS = 2**23
"""Of one intermediate result, at most: 32 MiB."""


class DirichletMixture(nn.Module):
    """p(x) = sum over k of w_k N(x; m_k, C_k), w_k = v_k prod over j < k of (1 - v_j), x `[n, D]`.

    A mixture of at most K components under a Dirichlet process of concentration a, truncated (its sticks v
    break off a remainder of 1 until the K-th takes what is left). Statistics are moving averages over batches

        r_k <- (1 - t) r_k + t mean of q_k,   likewise of q_k x and q_k x x^T,   t = `rate`

    of n rows with responsibilities q, from which, with R_k = sum of r_j over j > k,

        m_k = s_k / r_k        C_k = S_k / r_k - m_k m_k^T + `regularisation` I
        v_k = r_k / (r_k + (a - 1) / n + R_k)                                      (the mode under a's prior)
        a   = (K - 1) / sum over k < K of [digamma(n (r_k + R_k) + a + 1) - digamma(n R_k + a)]

    form  "full" or "diagonal" C. Products x x^T are summed up component by component; nothing of the size
          n × D × D is ever made

    All that is fitted is a buffer; `begin` draws the start, `step` takes a batch.

    Sources: D. M. Blei, M. I. Jordan, Variational inference for Dirichlet process mixtures, Bayesian Analysis
    2006 (the process, truncated); N. Schulthess et al., Anomaly detection by clustering DINO embeddings using
    a Dirichlet process mixture, MICCAI 2025, and the authors' code (the moving averages).
    """

    def __init__(
        self,
        components: int,
        dimensions: int,
        *,
        form: Literal["full", "diagonal"] = "full",
        regularisation: float = 1e-3,
        rate: float = 0.2,
    ) -> None:
        super().__init__()
        self.form, self.regularisation, self.rate = form, regularisation, rate
        square = (dimensions,) if form == "diagonal" else (dimensions, dimensions)
        self.share: Tensor
        self.first: Tensor
        self.second: Tensor
        self.mean: Tensor
        self.spread: Tensor
        self.log_weight: Tensor
        self.concentration: Tensor
        self.register_buffer("share", torch.zeros(components))
        self.register_buffer("first", torch.zeros(components, dimensions))
        self.register_buffer("second", torch.zeros(components, *square))
        self.register_buffer("mean", torch.zeros(components, dimensions))
        self.register_buffer("spread", torch.ones(components, *square))
        self.register_buffer("log_weight", torch.full((components,), -math.log(components)))
        self.register_buffer("concentration", torch.full((), 2.0))

    @torch.no_grad()
    def begin(self, rows: Tensor, generator: torch.Generator) -> None:
        """Means are rows `[n, D]` of the first batch, drawn without replacement; covariances that batch's
        variances; sticks are drawn from Beta(1, 2); statistics begin at 0. ValueError where it has fewer rows
        than components."""
        count, rows = len(self.mean), rows.float()
        if len(rows) < count:
            raise ValueError(f"{count} components need as many rows to begin with, and there are {len(rows)}")
        chosen = torch.randperm(len(rows), generator=generator, device=generator.device)[:count]
        self.mean.copy_(rows[chosen.to(rows.device)])
        variance = rows.var(dim=0) + self.regularisation
        drawn = torch.rand(count, generator=generator, device=generator.device).to(rows)
        sticks = 1 - drawn.sqrt()  # Beta(1, 2) by the inverse of its distribution function
        self.concentration.fill_(2.0)
        self._break(sticks)
        for statistic in (self.share, self.first, self.second):
            statistic.zero_()
        covariance = variance if self.form == "diagonal" else variance.diag()
        self._whiten(covariance.expand_as(self.spread))

    @torch.no_grad()
    def step(self, rows: Tensor) -> Tensor:
        """One batch `[n, D]`: responsibilities, statistics, parameters. Returns -log p by which they were
        made, mean over the rows, in nats: `[]`."""
        with full_precision(rows):
            rows = rows.float()
            logs = self.log_parts(rows)
            total = logs.logsumexp(dim=1)
            q = (logs - total[:, None]).exp()
            self.share.lerp_(q.mean(dim=0), self.rate)
            self.first.lerp_(q.T @ rows / len(rows), self.rate)
            if self.form == "diagonal":
                self.second.lerp_(q.T @ rows.square() / len(rows), self.rate)
            else:
                for k in range(len(self.mean)):
                    self.second[k].lerp_((q[:, k, None] * rows).T @ rows / len(rows), self.rate)
            self._maximise(len(rows))
        return -total.mean()

    def log_parts(self, rows: Tensor) -> Tensor:
        """log w_k + log N(x; m_k, C_k), `[n, K]` nats."""
        constant = self.log_weight - 0.5 * (self.mean.shape[1] * math.log(2 * math.pi)) + self._log_scale()
        return constant - 0.5 * self.squared_distances(rows)

    def density(self, rows: Tensor) -> Tensor:
        """log p(x), `[n]` nats, of components that are not negligible."""
        with full_precision(rows):
            return self.log_parts(rows.float())[:, self.kept].logsumexp(dim=1)

    def mahalanobis(self, rows: Tensor) -> Tensor:
        """The distance to the nearest component in units of its own spread, `[n]`."""
        with full_precision(rows):
            return self.squared_distances(rows.float())[:, self.kept].amin(dim=1).clamp_min(0).sqrt()

    def cosine(self, rows: Tensor) -> Tensor:
        """1 - the cosine to the mean of most alike direction, `[n]`."""
        with full_precision(rows):
            means = nn.functional.normalize(self.mean[self.kept], dim=1)
            return 1 - (nn.functional.normalize(rows.float(), dim=1) @ means.T).amax(dim=1)

    @property
    def kept(self) -> Tensor:
        """Which components are asked at scoring, bool `[K]`."""
        return self.log_weight > math.log(NEGLIGIBLE)

    def squared_distances(self, rows: Tensor) -> Tensor:
        """(x - m_k)^T C_k^-1 (x - m_k), `[n, K]`."""
        if self.form == "diagonal":
            precision = self.spread.square()
            inner = rows.square() @ precision.T - 2 * rows @ (precision * self.mean).T
            return inner + (precision * self.mean.square()).sum(dim=1)
        found = []
        for part in rows.split(max(1, NUMBERS // self.mean.numel())):
            centred = part - self.mean[:, None]
            found.append((centred @ self.spread.transpose(1, 2)).square().sum(dim=2).T)
        return torch.cat(found)

    def _maximise(self, rows: int) -> None:
        share, known = self.share, self.share > NO_ROWS
        safe = share.clamp_min(NO_ROWS)
        self.mean.copy_(torch.where(known[:, None], self.first / safe[:, None], self.mean))
        places = (-1, *[1] * (self.second.dim() - 1))
        outer = self.mean.square() if self.form == "diagonal" else self.mean[:, :, None] * self.mean[:, None]
        covariance = self.second / safe.view(places) - outer
        if self.form == "diagonal":
            covariance = covariance.clamp_min(0) + self.regularisation
        else:
            covariance += self.regularisation * torch.eye(self.mean.shape[1], device=share.device)
        before = self.spread.clone()
        self._whiten(covariance)
        self.spread.copy_(torch.where(known.view(places), self.spread, before))
        tail = (share.sum() - share.cumsum(0)).clamp_min(0)
        a, n = float(self.concentration), rows
        self._break((share / (share + (a - 1) / n + tail).clamp_min(NO_ROWS)).clamp(0, 1))
        gaps = torch.digamma(n * (share + tail) + a + 1) - torch.digamma(n * tail + a)
        self.concentration.fill_(max(1.0, (len(share) - 1) / float(gaps[:-1].sum())))

    def _break(self, sticks: Tensor) -> None:
        """w from v; the last component takes what is left."""
        left = torch.log1p(-sticks.clamp_max(1 - 1e-7)).cumsum(0)
        before = torch.cat((left.new_zeros(1), left[:-1]))
        last = torch.cat((sticks[:-1], sticks.new_ones(1)))
        self.log_weight.copy_(before + last.clamp_min(1e-30).log())

    def _whiten(self, covariance: Tensor) -> None:
        """The inverse Cholesky factors of covariances `[K, D, D]`, or inverse deviations of variances."""
        if self.form == "diagonal":
            self.spread.copy_(covariance.rsqrt())
            return
        identity = torch.eye(covariance.shape[-1], device=covariance.device)
        factor, failed = torch.linalg.cholesky_ex(covariance)
        if bool(failed.any()):  # rounding: a component of hardly any rows
            wide = covariance.diagonal(dim1=1, dim2=2).clamp_min(self.regularisation)
            factor[failed > 0] = wide[failed > 0].sqrt().diag_embed()
        self.spread.copy_(torch.linalg.solve_triangular(factor, identity.expand_as(factor), upper=False))

    def _log_scale(self) -> Tensor:
        """-½ log det C_k, `[K]`."""
        diagonal = self.spread if self.form == "diagonal" else self.spread.diagonal(dim1=1, dim2=2)
        return diagonal.log().sum(dim=1)

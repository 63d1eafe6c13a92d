"""Local linear models of what the next evaluation tells, fitted to samples with a mixture of Gaussians as prior."""

from __future__ import annotations

import warnings

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture
from torch import Tensor

from agents.lto.linear_gaussian import Dynamics

_RIDGE = 1e-8  # of the prior's variances, on those of a fit


class MixturePrior:
    """A mixture of Gaussians over transitions (w_0, a, next w) of all functions and steps (section 5).

    Levine and Abbeel (2014), section 3.2. A function's own samples at a step, too few for a fit of their own, are
    completed by as many made-up ones, ``strength``, with the moments of those components that they belong to.

    Args:
        components: Number of Gaussians.
        strength: Weight of the prior, in samples.
        samples: Most transitions that the mixture is fitted to.
        seed: Of their choice.
    """

    def __init__(self, components: int = 10, strength: float = 5.0, samples: int = 8192, seed: int = 0) -> None:
        self.strength, self.samples = strength, samples
        self._rng = np.random.default_rng(seed)
        self._mixture = GaussianMixture(
            components, reg_covar=1e-9, max_iter=5, warm_start=True, random_state=seed, init_params="k-means++"
        )

    def fit(self, transitions: Tensor) -> None:
        """Fits the mixture to ``transitions`` (count, 2 m + d), from where it was, if it was fitted before."""
        self._scale = transitions.std(0).clamp(min=1e-12)
        chosen = self._rng.permutation(len(transitions))[: self.samples]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # it need not converge: the next fit goes on
            self._mixture.fit((transitions[chosen] / self._scale).numpy())

    def dynamics(self, transitions: Tensor, known: int) -> Dynamics:
        """Linear models of the last entries of ``transitions`` (F, T, samples, 2 m + d) by the first ``known``."""
        scaled = transitions / self._scale
        count = scaled.shape[2]
        belongs = self._mixture.predict_proba(scaled.flatten(0, 2).numpy())
        weight = torch.from_numpy(belongs).unflatten(0, scaled.shape[:3]).mean(2)  # (F, T, components)
        means, covariances = (torch.from_numpy(a) for a in (self._mixture.means_, self._mixture.covariances_))
        prior_mean = weight @ means
        second = covariances + means[:, :, None] * means[:, None]
        prior = (weight @ second.flatten(1)).unflatten(-1, second.shape[1:]) - _outer(prior_mean)
        mean = scaled.mean(2)
        centered = scaled - mean[:, :, None]
        scatter = centered.mT @ centered
        apart = count * self.strength / (count + self.strength) * _outer(mean - prior_mean)
        joint = (scatter + self.strength * prior + apart) / (count + self.strength)
        joint = joint + _RIDGE * torch.diag_embed(prior.diagonal(dim1=-2, dim2=-1))
        matrix = torch.linalg.solve(joint[..., :known, :known], joint[..., :known, known:]).mT
        # The model goes through the samples' own mean: what it must predict is how they differ.
        offset = mean[..., known:] - (matrix @ mean[..., :known, None])[..., 0]
        rest = joint[..., known:, known:] - matrix @ joint[..., :known, known:]
        out, back = self._scale[known:], self._scale[:known]
        return Dynamics(out[:, None] * matrix / back, out * offset, (rest + rest.mT) / 2 * out[:, None] * out)


def _outer(x: Tensor) -> Tensor:
    return x[..., :, None] * x[..., None, :]

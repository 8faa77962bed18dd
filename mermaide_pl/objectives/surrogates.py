"""Meta-gradient estimators: a slot of the losses.

A *surrogate* is a scalar per task whose gradients estimate those of the negative expected return,
as far as the advantages are unbiased. MAML takes a gradient of a gradient, so the second derivative
matters too, and there the estimators differ. Write ``g_t = grad log pi(u_t)``, ``H_t`` for the
Hessian of ``log pi(u_t)``, and ``A_t`` for the advantage of step t.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from torch import Tensor


class Surrogate(ABC):
    """Slot for the estimator of the meta-gradient: how it accounts for the sampling of levels."""

    @abstractmethod
    def __call__(self, log_probs: Tensor, behaviour: Tensor, advantages: Tensor) -> Tensor:
        """Negative surrogate return of each task.

        Args:
            log_probs: log-probabilities of the levels played, float [M, B, T].
            behaviour: the same under the policy that played them, without gradient.
            advantages: float [M, B, T], without gradient.

        Returns:
            Sum over steps, mean over episodes and divided by T, float [M].
        """


@dataclass(frozen=True)
class PlainMAML(Surrogate):
    r"""The score-function loss, differentiated as it stands.

    Equation:
        L = -sum_t log pi(u_t) A_t;  second derivative  -sum_t H_t A_t

    It leaves out that the samples themselves depend on the weights, the term
    ``-E[sum_{t,t'} g_t g_{t'}^T A_{max(t,t')}]`` of the second derivative, and is biased by as
    much. It has no importance weights: with several inner steps on the same episodes the later ones
    are off-policy.

    Source: Finn, Abbeel, Levine, "Model-agnostic meta-learning", ICML 2017, as implemented there;
    the bias is eq. 4 against eq. 3 of Rothfuss et al. below.
    """

    def __call__(self, log_probs: Tensor, behaviour: Tensor, advantages: Tensor) -> Tensor:
        """See the class."""
        return -(log_probs * advantages).mean((1, 2))


@dataclass(frozen=True)
class DiCE(Surrogate):
    r"""The infinitely differentiable estimator, in its form for advantages.

    Equation:
        L = -sum_t (D_t - D_{t-1}) A_t,  D_t = exp(sum_{s<=t} [log pi(u_s) - log mu(u_s)])

    with ``mu`` the policy that played. Every derivative is unbiased if ``A_t`` is the rewards to go
    (summed by parts this is DiCE itself, ``sum_t D_t r_t``); its variance grows with T.

    Source: Foerster et al., "DiCE", ICML 2018, eq. 6; the advantage form is eq. 10 of Farquhar,
    Whiteson, Foerster, "Loaded DiCE", NeurIPS 2019, with lambda = gamma = 1.
    """

    def __call__(self, log_probs: Tensor, behaviour: Tensor, advantages: Tensor) -> Tensor:
        """See the class."""
        log_ratio = log_probs - behaviour
        upto = log_ratio.cumsum(-1)
        return -((upto.exp() - (upto - log_ratio).exp()) * advantages).mean((1, 2))


@dataclass(frozen=True)
class LowVarianceCurvature(Surrogate):
    r"""The likelihood-ratio surrogate of ProMP.

    Equation:
        L = -sum_t pi(u_t) / mu(u_t) A_t;  second derivative  -sum_t (H_t + g_t g_t^T) A_t

    It keeps of the sampling terms those within a step and drops the products of different steps,
    most of DiCE's variance; unbiased if T = 1.

    Source: Rothfuss et al., "ProMP: proximal meta-policy search", ICLR 2019, eq. 6 and theorem 1.
    """

    def __call__(self, log_probs: Tensor, behaviour: Tensor, advantages: Tensor) -> Tensor:
        """See the class."""
        return -((log_probs - behaviour).exp() * advantages).mean((1, 2))

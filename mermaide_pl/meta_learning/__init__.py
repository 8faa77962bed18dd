"""Meta-learning of a principal: losses, adaptation, the meta-step, and its Lightning modules.

Symbols of the equations, here and in `mermaide_pl.evaluation`; the letters of the axes are those of
`mermaide_pl.game.trajectory`, steps are ``t = 0, ..., T-1``:

================= ==========================================================================
``theta``         meta weights, where every adaptation begins; training learns them
``phi_m``         fast weights, ``theta`` adapted to task m
``alpha``         inner rates, one per parameter tensor; training learns them too
``K``             shots: support episodes with each task
``h_t``           history: levels, arms and agent rewards before step t, as observed
``u_t``           intervention level of step t, with bonus ``b(u_t)``
``a_t``           arm that the agent pulled in step t; ``a*`` is the target arm
``o_t``           arm as the principal observed it: ``a_t``, unless observation is noisy
``r_t``           principal's reward, ``1[a_t = a*] - c b(u_t)``, with cost c
``R_t``           rewards to go, ``r_t + ... + r_{T-1}``; the return of an episode is ``R_0 / T``
``pi(u | h_t)``   intervention policy
``mu(u | h_t)``   policy that played, without gradient
``w_t``           importance weight, ``pi(u_t | h_t) / mu(u_t | h_t)``
``p(a | h_t, u)`` world model: forecast of the arm at level u
``V(h_t)``        critic: forecast of ``R_t / T``
``A_t``           advantage of ``u_t``, without gradient, see `mermaide_pl.objectives`
``mean_t``        mean over the T steps of the B episodes with a task
================= ==========================================================================

``pi``, ``p`` and ``V`` depend on the weights, which stand as a subscript where it matters which:
``pi_theta``, ``pi_phi``.

The paper is Banerjee, Phade, Ermon, Zheng, "MERMAIDE: Learning to align learners using model-based
meta-learning", TMLR 2023, arXiv 2304.04668: its Algorithm 1, training, is `meta_step`, and its
Algorithm 2, K-shot adaptation, is `adapt`.
"""

from mermaide_pl.meta_learning.datamodule import TaskDataModule
from mermaide_pl.meta_learning.inner_loop import (
    Adaptation,
    GradientAdaptation,
    NoAdaptation,
    RecurrentAdaptation,
)
from mermaide_pl.meta_learning.losses import Objective
from mermaide_pl.meta_learning.module import MermaideModule
from mermaide_pl.meta_learning.within_episode import AdaptationWithinEpisodes

__all__ = [
    "Adaptation",
    "AdaptationWithinEpisodes",
    "GradientAdaptation",
    "MermaideModule",
    "NoAdaptation",
    "Objective",
    "RecurrentAdaptation",
    "TaskDataModule",
]

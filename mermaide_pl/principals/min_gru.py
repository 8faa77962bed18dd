"""minGRU, a recurrence without a loop over time: one parallel scan over recorded episodes."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mermaide_pl.principals.layers import Weights, linear
from mermaide_pl.principals.recurrence import Recurrence, RecurrentLayer


@dataclass(frozen=True)
class MinGRU(Recurrence):
    """Gated unit whose gates see the features alone, which makes it linear in the state.

    Equations:
        z = sigmoid(W_z x + b_z);  n = W_n x + b_n;  h' = (1 - z) * h + z * n

    The native engine does not support it: PyTorch computes it.

    Source: Feng et al., "Were RNNs all we needed?", 2024, section 3.1; by `scan` in place of their
    sum of logarithms, so that states may have any sign.
    """

    def build(self, num_features: int, hidden_size: int) -> RecurrentLayer:
        """A minGRU layer."""
        return _MinGRU(num_features, hidden_size)


class _MinGRU(RecurrentLayer):
    def __init__(self, num_features: int, hidden_size: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(2 * hidden_size, num_features))
        self.bias = nn.Parameter(torch.zeros(2 * hidden_size))
        self.initial_state = nn.Parameter(torch.zeros(hidden_size))
        for rows in self.weight.data.chunk(2):
            nn.init.xavier_uniform_(rows)

    def sequence(self, weights: Weights, features: Tensor, state: Tensor) -> Tensor:
        kept, added = self._maps(weights, features)
        return scan(kept, added, state.to(added))

    def step(self, weights: Weights, features: Tensor, state: Tensor) -> Tensor:
        kept, added = self._maps(weights, features)
        return torch.addcmul(added, kept, state.to(added))

    @staticmethod
    def _maps(weights: Weights, features: Tensor) -> tuple[Tensor, Tensor]:
        """Share of the state that is kept, ``1 - z``, and what is added, ``z * n``, [M, ..., H]."""
        both = linear(features, weights["recurrence.weight"], weights["recurrence.bias"])
        gate, candidate = both.chunk(2, dim=-1)
        return torch.sigmoid(-gate), torch.sigmoid(gate) * candidate


def scan(kept: Tensor, added: Tensor, state: Tensor) -> Tensor:
    """States of a linear recurrence, by cyclic reduction: O(T) work in O(log T) operations.

    Equation:
        h_t = kept_t * h_{t-1} + added_t

    Two consecutive steps are one step of the same form, so every other state comes from a scan half
    as long, and those between follow from their predecessors. For `kept` in 0 to 1 no product
    grows and nothing is divided: a product that underflows is a negligible contribution.

    Source: Blelloch, "Prefix sums and their applications", 1990, section 1.4.

    Args:
        kept: float [M, B, T, H].
        added: float [M, B, T, H].
        state: before the first step, float [M, B, H].

    Returns:
        float [M, B, T, H].
    """
    num_pairs = kept.shape[2] // 2
    if num_pairs == 0:
        return torch.addcmul(added, kept, state.unsqueeze(2))
    first_kept, second_kept = kept[:, :, 0::2], kept[:, :, 1::2]
    first_added, second_added = added[:, :, 0::2], added[:, :, 1::2]
    seconds = scan(
        second_kept * first_kept[:, :, :num_pairs],
        torch.addcmul(second_added, second_kept, first_added[:, :, :num_pairs]),
        state,
    )
    before = torch.cat([state.unsqueeze(2), seconds], dim=2)[:, :, : first_kept.shape[2]]
    firsts = torch.addcmul(first_added, first_kept, before)
    pairs = torch.stack([firsts[:, :, :num_pairs], seconds], dim=3).flatten(2, 3)
    return torch.cat([pairs, firsts[:, :, num_pairs:]], dim=2)

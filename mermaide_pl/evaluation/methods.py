"""Methods: their names in files and rows, and their labels in tables and figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

NO_INTERVENTION, ALWAYS, PERIODIC, BURST, RANDOM = "none", "always", "periodic", "burst", "random"
REINFORCE, REINFORCE_EXPLORING = "reinforce", "reinforce_exploring"
WORLD_MODEL_ONLY, MAML_ONLY = "world_model_only", "maml_only"
RL2, RL2_WITH_MODEL = "rl2", "rl2_with_model"
RL2_TWO_EPISODES = "rl2_two_episodes"
"""As `RL2_WITH_MODEL`, trained with two support episodes in a row."""
WITHIN_EPISODES = "within_episodes"
"""As `RL2_WITH_MODEL`, and takes gradient steps on the forecast within episodes."""
MERMAIDE = "mermaide"
"""Adapts by gradient alone, as in the paper (arXiv 2304.04668)."""
MERMAIDE_MEMORY = "mermaide_memory"
"""As `MERMAIDE`, and carries its recurrent state over from the support episodes."""
UNIVERSAL_NETWORK = "universal_network"
"""As `MERMAIDE_MEMORY`, in the network of the universal principal."""
PRINCIPAL = "principal"
"""Any trained principal, whatever its method."""
CUT_OFF = "cut_off"
"""A trained principal that does not know of the game's budget."""
UNIVERSAL = "universal"
"""One trained principal for every game."""
ORACLE = "oracle"
FIXED = (NO_INTERVENTION, ALWAYS, PERIODIC, BURST, RANDOM, ORACLE)
"""Schedules and oracle, which are not trained."""

LABELS = {
    NO_INTERVENTION: "no intervention",
    ALWAYS: "always",
    PERIODIC: "periodic",
    BURST: "burst",
    RANDOM: "random",
    REINFORCE: "REINFORCE",
    REINFORCE_EXPLORING: "REINFORCE, exploring",
    WORLD_MODEL_ONLY: "world model only",
    MAML_ONLY: "MAML",
    RL2: "RL²",
    RL2_WITH_MODEL: "RL² with model",
    RL2_TWO_EPISODES: "RL² with model, two episodes",
    WITHIN_EPISODES: "RL² with model, learning within",
    MERMAIDE: "MERMAIDE",
    MERMAIDE_MEMORY: "MERMAIDE with memory",
    UNIVERSAL_NETWORK: "universal network",
    PRINCIPAL: "principal",
    CUT_OFF: "principal, cut off",
    UNIVERSAL: "one for all costs",
    ORACLE: "oracle",
}
"""Label of each method, by its name."""
_EARLIER = {"no intervention": NO_INTERVENTION, "mermaide": PRINCIPAL}
"""Names that earlier versions wrote, to names of now."""


def label_of(method: str) -> str:
    """The label of a method; a name that is not in `LABELS` is its own label."""
    return LABELS.get(method, method)


def with_current_names(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Rows of an evaluation with current method names, also if an earlier version wrote them.

    Args:
        rows: as `evaluate` returned them. Rows of earlier versions contain a method "no
            intervention", and call every trained principal "mermaide".
    """
    is_earlier = any(row["method"] == "no intervention" for row in rows)
    names = _EARLIER if is_earlier else {}
    return [{**row, "method": names.get(row["method"], row["method"])} for row in rows]

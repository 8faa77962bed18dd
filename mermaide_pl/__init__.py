"""MERMAIDE on PyTorch Lightning: a principal that meta-learns to steer learning agents."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mermaide_pl.deployment.fleet import LiveFleet
    from mermaide_pl.deployment.live import LivePrincipal
    from mermaide_pl.evaluation.protocol import evaluate
    from mermaide_pl.game import Game
    from mermaide_pl.meta_learning.datamodule import TaskDataModule
    from mermaide_pl.meta_learning.module import MermaideModule, load_pretrained
    from mermaide_pl.populations import AgentFamily, Population

__version__ = "0.1.0"
__all__ = [
    "AgentFamily",
    "Game",
    "LiveFleet",
    "LivePrincipal",
    "MermaideModule",
    "Population",
    "TaskDataModule",
    "evaluate",
    "load_pretrained",
]
_PLACES = {
    "AgentFamily": "populations",
    "Game": "game",
    "LiveFleet": "deployment.fleet",
    "LivePrincipal": "deployment.live",
    "MermaideModule": "meta_learning.module",
    "Population": "populations",
    "TaskDataModule": "meta_learning.datamodule",
    "evaluate": "evaluation.protocol",
    "load_pretrained": "meta_learning.module",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used: torch and Lightning take seconds to import."""
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

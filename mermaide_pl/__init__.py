"""MERMAIDE on PyTorch Lightning: a principal that meta-learns to steer learning agents."""

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mermaide_pl.deployment.fleet import LiveFleet
    from mermaide_pl.deployment.live import LivePrincipal
    from mermaide_pl.evaluation.protocol import evaluate
    from mermaide_pl.game import Game
    from mermaide_pl.meta_learning.datamodule import TaskDataModule
    from mermaide_pl.meta_learning.module import MermaideModule, load_pretrained
    from mermaide_pl.populations import AgentFamily, Population

__version__ = "0.2.0"
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
    """Import a public name, or a subpackage, when it is first used: torch takes seconds."""
    if name in _PLACES:
        value = getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)
        globals()[name] = value
        return value
    if not name.startswith("_") and find_spec(f"{__name__}.{name}") is not None:
        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

"""Modules that a user imports on purpose."""

import pytest

from mermaide_pl.agents import PythonAgent
from mermaide_pl.config import trusted_imports
from mermaide_pl.config.serialization import rebuild
from mermaide_pl.config.trusted_imports import import_on_purpose

MODULE = """
from shlex import quote
class Learner:
    def __init__(self, n_arms, seed): pass
    def act(self): return 0
    def learn(self, arm, reward): pass
"""


def test_checkpoints_may_name_what_is_defined_in_an_imported_module(tmp_path, monkeypatch):
    (tmp_path / "imported_on_purpose.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(trusted_imports, "_imported", {})

    def spec(name: str) -> dict:
        factory = {"callable": f"imported_on_purpose.{name}"}
        return {"class_path": "mermaide_pl.agents.PythonAgent", "init_args": {"factory": factory}}

    with pytest.raises(ValueError, match=r"\(--import imported_on_purpose\)"):
        rebuild(spec("Learner"))
    import_on_purpose("imported_on_purpose")
    assert isinstance(rebuild(spec("Learner")), PythonAgent)
    with pytest.raises(ValueError, match="which is not part of mermaide_pl"):
        rebuild(spec("quote"))

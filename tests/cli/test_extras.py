import re
import sys

import pytest

from mermaide_pl.cli.extras import needs_extra
from mermaide_pl.cli.main import main


def test_a_comparison_without_pandas_says_how_to_install_it(monkeypatch, capsys):
    for name in [name for name in sys.modules if name.startswith("mermaide_pl.experiments.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(SystemExit):
        main(["compare", "--config", "conf/experiment/table.yaml", "--minutes", "0"])
    (line,) = capsys.readouterr().err.splitlines()
    assert re.search(r"needs pandas, .*: pip install 'mermaide-pl\[experiments\]'$", line)


def test_another_missing_module_is_not_taken_for_the_extra():
    missing = pytest.raises(ModuleNotFoundError, match="no_such_module")
    with missing, needs_extra("experiments", "a comparison", "pandas"):
        import no_such_module  # noqa: F401


def test_an_export_without_onnx_says_how_to_install_it(monkeypatch, capsys, tmp_path):
    monkeypatch.delitem(sys.modules, "mermaide_pl.deployment.onnx_export", raising=False)
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(SystemExit):
        main(["export", "--out", str(tmp_path / "principal.onnx")])
    (line,) = capsys.readouterr().err.splitlines()
    assert re.search(r"needs onnx, .*: pip install 'mermaide-pl\[export\]'$", line)

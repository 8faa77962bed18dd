"""Constructor arguments of classes, read from their source: importing torch takes seconds."""

from __future__ import annotations

import ast
import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

_ROOTS = ("mermaide_pl", "pytorch_lightning")
_DEPTH = 12  # modules that a name may be passed on through, or bases that a class may have


@dataclass(frozen=True)
class _Class:
    module: str
    node: ast.ClassDef


def unknown_key(cls: str | None, content: Any, place: str = "") -> str | None:
    """Find a key of a configuration that the constructor of a class does not take.

    What cannot be told from the source alone, such as classes of other packages and ``**options``,
    passes: building the object is the judge.

    Args:
        cls: import path of the class, or None if it is not known.
        content: constructor arguments, or class and arguments, or a list of these, as read from
            YAML.
        place: key at which they stand, for the message.

    Returns:
        One line with the key and those that are allowed, or None if all are known.
    """
    if isinstance(content, list):
        return next(filter(None, (unknown_key(cls, item, place) for item in content)), None)
    if not isinstance(content, dict):
        return None
    if "class_path" in content or "init_args" in content:  # the latter for a class named before
        place = f"{place}.init_args".removeprefix(".")
        return unknown_key(content.get("class_path"), content.get("init_args"), place)
    allowed = arguments(cls) if isinstance(cls, str) else None
    if allowed is None:
        return None
    for name, value in keys_and_values(content):
        here = f"{place}.{name}".removeprefix(".")
        if name not in allowed:
            return f"there is no '{here}', allowed: {', '.join(allowed)}"
        if found := unknown_key(allowed[name], value, here):
            return found
    return None


def keys_and_values(content: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Items of a mapping, with the short forms of jsonargparse written out.

    ``a.b: 1`` is ``a: {b: 1}``, and ``a+: [1]`` appends to ``a``.
    """
    for key, value in content.items():
        name, _, inner = key.partition(".")
        yield name.removesuffix("+"), {inner: value} if inner else value


def arguments(cls: str) -> dict[str, str | None] | None:
    """Names of a class's constructor arguments; None if its source does not tell.

    Returns:
        For each argument the import path of its class, if it has one alone (also in a list).
    """
    found = _find(cls)
    return None if found is None else _arguments(found, _DEPTH)


def _arguments(of: _Class, depth: int) -> dict[str, str | None] | None:
    body = of.node.body
    for item in body:
        if isinstance(item, ast.FunctionDef) and item.name == "__init__":
            if item.args.kwarg or item.args.vararg:
                return None
            given = [*item.args.posonlyargs, *item.args.args, *item.args.kwonlyargs][1:]
            return {one.arg: _class_of(one.annotation, of.module) for one in given}
    if not depth:
        return None
    inherited: dict[str, str | None] = {}
    for base in of.node.bases:
        name = ast.unparse(base)
        above = _find(f"{of.module}.{name}")
        if name not in ("ABC", "Protocol"):
            further = None if above is None else _arguments(above, depth - 1)
            if further is None:
                return None
            inherited |= further
    if not any("dataclass" in ast.unparse(mark) for mark in of.node.decorator_list):
        return inherited
    own = {
        item.target.id: _class_of(item.annotation, of.module)
        for item in body
        if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name)
        if "ClassVar" not in ast.unparse(item.annotation)
    }
    return inherited | own


def _class_of(annotation: ast.expr | None, module: str) -> str | None:
    """The one class that an annotation, or that of the items of a list, stands for."""
    while isinstance(annotation, ast.BinOp) and ast.unparse(annotation.right) == "None":
        annotation = annotation.left
    if isinstance(annotation, ast.Subscript) and ast.unparse(annotation.value) == "list":
        annotation = annotation.slice
    if not isinstance(annotation, ast.Name):
        return None
    found = _find(f"{module}.{annotation.id}")
    # of a class with subclasses, a value names which is meant
    return None if found is None or _is_abstract(found.node) else f"{module}.{annotation.id}"


def _is_abstract(node: ast.ClassDef) -> bool:
    return any(ast.unparse(base) in ("ABC", "Protocol") for base in node.bases)


@cache
def _find(path: str) -> _Class | None:
    """The definition of a class, followed through the modules that pass its name on."""
    for _ in range(_DEPTH):
        module, _, name = path.rpartition(".")
        tree = _tree(module)
        if tree is None:
            return None
        further = None
        for item in _statements(tree):
            if isinstance(item, ast.ClassDef) and item.name == name:
                return _Class(module, item)
            if isinstance(item, ast.ImportFrom) and item.module and not item.level:
                for alias in item.names:
                    if (alias.asname or alias.name) == name:
                        further = f"{item.module}.{alias.name}"
        if further is None:
            return None
        path = further
    return None


def _statements(tree: ast.Module) -> Iterator[ast.stmt]:
    """The statements of a module, those for type checkers too."""
    for item in tree.body:
        yield item
        if isinstance(item, ast.If):
            yield from item.body


@cache
def _tree(module: str) -> ast.Module | None:
    """The syntax tree of a module of this package or of Lightning, which is not imported."""
    root, *parts = module.split(".")
    spec = importlib.util.find_spec(root) if root in _ROOTS else None
    if spec is None or spec.origin is None:
        return None
    place = Path(spec.origin).parent.joinpath(*parts)
    for file in (place / "__init__.py", place.with_suffix(".py")):
        if file.is_file():
            return ast.parse(file.read_text(encoding="utf-8"))
    return None

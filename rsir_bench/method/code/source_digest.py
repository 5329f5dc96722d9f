"""Identify source code by its syntax tree: comments, docstrings and formatting do not count."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

from rsir_bench.base.files import digest

PREFIX = "ast:"
"""Marks these digests; records from before hold the bare SHA-256 of the files' bytes."""


def source_digest(*paths: Path) -> str:
    """Return ``"ast:"`` and the SHA-256 (hex) of the syntax trees of Python files, the same under every Python."""
    return PREFIX + digest([_plain(ast.parse(path.read_bytes())) for path in paths])


def _plain(node: Any) -> Any:
    """Return a syntax tree as lists; omits empty fields, which differ between versions of Python, and positions."""
    if isinstance(node, list):
        return [_plain(item) for item in node if not _is_text(item)]
    if isinstance(node, ast.JoinedStr):  # Python 3.12 splits the text of an f-string in other places
        return ["JoinedStr", _merged(node.values)]
    if isinstance(node, ast.AST):
        fields = {name: _plain(value) for name, value in ast.iter_fields(node) if name not in ("ctx", "kind")}
        return [type(node).__name__, {name: value for name, value in fields.items() if value not in ([], "None")}]
    return repr(node)


def _is_text(node: Any) -> bool:
    """Return whether a statement is a string that stands alone: a docstring, of whatever it documents."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _merged(values: list[ast.expr]) -> list[Any]:
    """Return the parts of an f-string with adjacent texts joined and empty ones left out."""
    parts: list[Any] = []
    for value in values:
        if not isinstance(value, ast.Constant):
            parts.append(_plain(value))
        elif parts and isinstance(parts[-1], str):
            parts[-1] += str(value.value)
        elif value.value:
            parts.append(str(value.value))
    return parts

from __future__ import annotations

from pathlib import Path

import pytest

from rsir_bench.method.code.source_digest import source_digest

CODE = '''"""Module."""
import math

RATE = 0.1


class A:
    """Class."""

    size: int = 3
    """Of the window."""

    def f(self, x, *, y=None):
        """Function."""
        # a comment
        return f"{x!r:>{self.size}} and {'b'}" + "c" if y is None else math.pi
'''
DIGEST = "ast:f59414d1a9dc2a8e8e68248bdcb0ac850f9d0d544e117da4cb17ac417cdb8b45"


def digest_of(folder: Path, code: str) -> str:
    (folder / "code.py").write_text(code)
    return source_digest(folder / "code.py")


def test_every_python_gives_the_same(tmp_path):
    assert digest_of(tmp_path, CODE) == DIGEST


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"""Module."""', '"""Another text."""'),
        ('"""Module."""\n', ""),
        ('    """Class."""\n', ""),
        ('    """Of the window."""\n', ""),
        ('"""Function."""', "'''Other\n\n        words.'''"),
        ("        # a comment\n", ""),
        ("RATE = 0.1", "RATE = (\n    0.10  # of 1\n)"),
        ("x, *, y=None", "x, *,\n          y=None"),
    ],
)
def test_prose_and_formatting_keep_it(tmp_path, old, new):
    assert old in CODE
    assert digest_of(tmp_path, CODE.replace(old, new)) == DIGEST


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("0.1", "0.2"),
        ("= 3", "= 3.0"),
        ("= 3", "= True"),
        ("y=None", "y=0"),
        ("x!r", "x!s"),
        (" and ", " or "),
        ("import math", "import cmath as math"),
        ("return f", "f"),
    ],
)
def test_a_changed_program_changes_it(tmp_path, old, new):
    assert old in CODE
    assert digest_of(tmp_path, CODE.replace(old, new)) != DIGEST


def test_order_and_number_of_files_count(tmp_path):
    one, two = tmp_path / "one.py", tmp_path / "two.py"
    one.write_text("a = 1")
    two.write_text("b = 2")
    assert len({source_digest(one), source_digest(one, two), source_digest(two, one)}) == 3

"""Find the files of a method's code: its own, and imported files that belong to no installed package."""

from __future__ import annotations

import ast
import importlib
import os
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from importlib.machinery import PathFinder
from pathlib import Path

from rsir_bench.base.errors import UserError, one_line
from rsir_bench.base.files import digest
from rsir_bench.method.code.source_digest import source_digest

HARNESS = Path(__file__).resolve().parents[2]
"""The package ``rsir_bench``; its code is known by version numbers."""

METHODS = "rsir_bench.methods"
"""The package of shipped methods, which a plugin may build on."""

_IMPORTED: dict[Path, tuple[int, int, int]] = {}


def code_files(path: Path) -> list[Path]:
    """Return a method's file and the user's files that it imports, directly or indirectly.

    Files of Python, of installed distributions and of the harness are left out, except files of the distribution that
    the method itself belongs to. For a module that is already imported, the file is the one that Python loaded. Imports
    by names that are computed at run time are not found.

    Args:
        path: The file; it should have been imported.

    Returns:
        Absolute paths, the file itself first, then sorted.

    Raises:
        UserError: A file is not Python.
    """
    path = path.resolve()
    found, waiting = {path}, [path]
    while waiting:
        file = waiting.pop()
        new = {other for other in _imports(file, path.parent) if _is_users(other, path)} - found
        found |= new
        waiting += new
    return [path, *sorted(found - {path})]


def code_of(path: Path) -> dict[Path, str]:
    """Return the digest of each of a method's ``code_files``.

    Raises:
        UserError: A file is not Python, or has changed since this Python imported it.
    """
    files = code_files(path)
    for file in files:
        if _IMPORTED.get(file, _state(file)) != _state(file):
            raise UserError(f"{file}: changed since this Python imported it; restart Python to use it as it is now")
    return {file: file_code(file) for file in files}


def file_code(file: Path) -> str:
    """Return the digest of one file's code.

    Raises:
        UserError: It is not Python.
    """
    with _not_python(file):
        return source_digest(file)


def digest_of(code: Mapping[Path, str]) -> str:
    """Return the digest of all of a method's code, wherever its files are and whatever the first one is called.

    If different files have the same name, their paths relative to the first file count as well: they may be swapped.
    """
    (first, own), *others = code.items()
    contents: dict[str, set[str]] = {}
    for file, content in others:
        contents.setdefault(file.name, set()).add(content)

    def name_of(file: Path) -> str:
        return file.name if len(contents[file.name]) == 1 else Path(os.path.relpath(file, first.parent)).as_posix()

    return digest([own, sorted((name_of(file), content) for file, content in others)])


def note_imported(path: Path) -> None:
    """Note that a file was imported just now, with Python's own loader, which imports it only once."""
    _IMPORTED.setdefault(path.resolve(), _state(path.resolve()))


def forget_modules(files: Iterable[Path]) -> None:
    """Make Python import these files again the next time; files of ``methods/`` stay imported."""
    wanted = {str(file) for file in files if not _is_methods(file)}
    for name, module in list(sys.modules.items()):
        if getattr(module, "__file__", None) in wanted and name != "__main__":
            del sys.modules[name]


def _state(file: Path) -> tuple[int, int, int]:
    found = file.stat()
    return found.st_mtime_ns, found.st_size, found.st_ino


@contextmanager
def _not_python(file: Path) -> Iterator[None]:
    """Turn what Python raises on a file that is not Python into a ``UserError``."""
    try:
        yield
    except (SyntaxError, ValueError, RecursionError) as error:
        raise UserError(f"{file}: not valid Python ({one_line(error)}); fix it") from None


def _imports(file: Path, beside: Path) -> Iterator[Path]:
    """Yield the files that a file's ``import`` statements name, wherever they are."""
    with _not_python(file):
        tree = ast.parse(file.read_bytes(), str(file))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from _modules(alias.name, beside)
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                dotted = ".".join(part for part in (node.module, alias.name) if part and part != "*")
                if node.level:
                    yield from _below(file.parents[node.level - 1], dotted)
                else:
                    yield from _modules(dotted, beside)
                if alias.name == "*" and not node.level:
                    yield from _loaded_below(dotted)


def _modules(dotted: str, beside: Path) -> Iterator[Path]:
    """Yield the files of a module and its packages: as imported, as Python would find them, or from the same folder."""
    top, _, rest = dotted.partition(".")
    parts = dotted.split(".")
    for depth in range(len(parts), 0, -1):
        loaded = getattr(sys.modules.get(".".join(parts[:depth])), "__file__", None)
        if loaded:
            yield Path(loaded).resolve()
    if top in sys.modules:
        home = getattr(sys.modules[top], "__path__", None)
        for folder in home or ():
            yield from _below(Path(folder), rest)
        return
    spec = PathFinder.find_spec(top)
    if spec is None:
        yield from _below(beside, dotted)
    elif spec.origin:
        yield Path(spec.origin).resolve()
        for folder in spec.submodule_search_locations or ():
            yield from _below(Path(folder), rest)


def _below(folder: Path, dotted: str) -> Iterator[Path]:
    """Yield the files of a module and of its packages, looked up from a folder."""
    place = folder
    if (folder / "__init__.py").is_file() and not dotted:
        yield (folder / "__init__.py").resolve()
    for part in dotted.split(".") if dotted else ():
        place = place / part
        for file in (place.with_name(f"{part}.py"), place / "__init__.py"):
            if file.is_file():
                yield file.resolve()


def _loaded_below(package: str) -> Iterator[Path]:
    for name, module in list(sys.modules.items()):
        if name.startswith(f"{package}.") and getattr(module, "__file__", None):
            yield Path(str(module.__file__)).resolve()


def _is_users(file: Path, origin: Path) -> bool:
    """Return whether a file counts as part of a method's code."""
    if file.suffix != ".py":
        return False
    if _is_methods(file):
        return file.name != "__init__.py"
    if file.is_relative_to(HARNESS):
        return False
    root = _import_root(file)
    if not _is_installed(root):
        return True
    top = file.relative_to(root).parts[0]
    return _import_root(origin) == root and origin.relative_to(root).parts[0] == top


def is_installed(file: Path) -> bool:
    """Return whether a file belongs to Python or to an installed distribution, wherever its environment is."""
    return _is_installed(_import_root(file))


def _is_methods(file: Path) -> bool:
    return any(file.is_relative_to(folder) for folder in _methods_folders())


@cache
def _methods_folders() -> tuple[Path, ...]:
    return tuple(Path(folder).resolve() for folder in importlib.import_module(METHODS).__path__)


@cache
def _import_root(file: Path) -> Path:
    """Return the folder of ``sys.path`` that a file is imported from, or else the file's own folder."""
    roots = [Path(entry).resolve() for entry in sys.path if entry]
    around = [root for root in roots if file.is_relative_to(root)]
    return max(around, key=lambda root: len(root.parts), default=file.parent)


@cache
def _is_installed(root: Path) -> bool:
    """Return whether a folder holds Python's own modules or installed distributions."""
    own = {Path(sysconfig.get_path(name)).resolve() for name in ("stdlib", "platstdlib")}
    dynamic = {folder / "lib-dynload" for folder in own}
    return root in own | dynamic or any(root.glob("*.dist-info"))

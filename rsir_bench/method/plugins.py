"""Import a user's file, and the modules beside it, from their source of this moment."""

from __future__ import annotations

import ast
import importlib.util
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from importlib.machinery import FileFinder, ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType
from typing import ClassVar

from rsir_bench.base.errors import UserError
from rsir_bench.method.authoring.mistakes import classes_twice, in_words

HARNESS = Path(__file__).resolve().parents[1]
"""The package ``rsir_bench``; its code is known by version numbers."""


def import_plugins(
    paths: Iterable[Path], leave_out: Callable[[Path, UserError], object] | None = None
) -> Iterator[tuple[Path, ModuleType]]:
    """Import users' files; each call reads them and the modules beside them anew.

    Installed modules come before modules of the same name beside a file.

    Args:
        paths: The files.
        leave_out: Called with each file that is broken; None: the first one is an error.

    Raises:
        UserError: There is no ``leave_out``, and one is no Python file, cannot be imported, or needs a module that
            another has under the same name.
    """
    _Beside.forget()
    for path in dict.fromkeys(paths):
        try:
            module = _import(path)
        except UserError as error:
            if leave_out is None:
                raise
            leave_out(path, error)
            continue
        yield path, module


def _import(path: Path) -> ModuleType:
    if not path.is_file() or path.suffix != ".py":
        raise UserError(f"plugin {path}: no such Python file; name a .py file that defines a method")
    name = f"rsir_bench_plugin_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path, loader=_FromSource(name, str(path.resolve())))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    try:
        siblings = [file for file in files_of(path) if file != path.resolve()]
        _Beside.serve(path.resolve().parent)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise UserError(f"plugin {path}: cannot be imported ({in_words(error)}); fix it") from error
    if twice := classes_twice(path):
        raise UserError(f"plugin {path}: {twice}; rename one")
    _refuse_other_plugins_module(path, siblings)
    return module


def files_of(path: Path) -> list[Path]:
    """Return a Python file and the files beside it, or in its package, that its ``import`` statements name.

    Names that are computed while the program runs are not seen, and ``rsir_bench`` itself is left out.

    Returns:
        Absolute paths, sorted: first those of the shallowest folder.

    Raises:
        SyntaxError: A file is not Python.
    """
    path = path.resolve()
    beside = path.parent
    while (beside / "__init__.py").is_file():  # a package's own modules are found from the folder that holds it
        beside = beside.parent
    found, waiting = {path}, [path]
    while waiting:
        file = waiting.pop()
        new = set(_imported(file, dict.fromkeys((path.parent, beside)))) - found
        found |= new
        waiting += new
    return sorted(found, key=lambda file: (len(file.parts), file))


def _imported(file: Path, folders: Collection[Path]) -> Iterator[Path]:
    """Yield the files below ``folders`` that a file's ``import`` statements name."""
    for node in ast.walk(ast.parse(file.read_bytes(), str(file))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from _modules(folders, alias.name)
        elif isinstance(node, ast.ImportFrom):
            start = [file.parents[node.level - 1]] if node.level else folders
            for alias in node.names:
                yield from _modules(start, f"{node.module or ''}.{alias.name}".lstrip("."))


def _modules(folders: Collection[Path], dotted: str) -> Iterator[Path]:
    """Yield the files of a module and of the packages that it lies in."""
    for folder in folders:
        place = folder
        for part in dotted.split("."):
            place = place / part
            for file in (place.with_name(f"{part}.py"), place / "__init__.py"):
                if file.is_file() and not file.is_relative_to(HARNESS):
                    yield file


def _refuse_other_plugins_module(path: Path, siblings: Sequence[Path]) -> None:
    for file in siblings:
        loaded = getattr(sys.modules.get(file.stem), "__file__", None)
        beside = file.parent == path.resolve().parent
        if beside and loaded and loaded != str(file) and Path(loaded).parent in _Beside.folders:
            raise UserError(f"plugin {path}: {file.name} and {loaded} have one name; rename one of them")


class _FromSource(SourceFileLoader):
    """Compiles the source of this moment: Python's bytecode files miss a second change within a second."""

    def get_code(self, fullname: str) -> CodeType:
        """Return the compiled source of a module."""
        path = self.get_filename(fullname)
        return self.source_to_code(self.get_data(path), path)


class _Beside:
    """Finds modules beside plugins, from their source, where no installed module has their name."""

    folders: ClassVar[dict[Path, None]] = {}

    @classmethod
    def forget(cls) -> None:
        """Forget the modules found so far, and where."""
        cls.folders.clear()
        for name, module in list(sys.modules.items()):
            spec = getattr(module, "__spec__", None)
            if spec is not None and isinstance(spec.loader, _FromSource):
                del sys.modules[name]

    @classmethod
    def serve(cls, folder: Path) -> None:
        """Find modules in this folder from now on."""
        cls.folders[folder] = None
        if cls not in sys.meta_path:
            sys.meta_path.insert(0, cls)

    @classmethod
    def find_spec(
        cls, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return how to load a module; None where it is not beside a plugin, or installed as well."""
        if path is None:
            installed = PathFinder.find_spec(name)
            if installed and (not installed.origin or Path(installed.origin).resolve().parent not in cls.folders):
                return None
        elif not any(Path(place).resolve().is_relative_to(folder) for place in path for folder in cls.folders):
            return None
        for place in path or map(str, cls.folders):
            spec = FileFinder(place, (_FromSource, [".py"])).find_spec(name, target)
            if spec and spec.loader is not None:  # a folder without __init__.py is no module here
                return spec
        return None

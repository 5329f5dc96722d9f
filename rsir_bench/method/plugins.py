"""Import a user's file, and modules in the same folder, from their current source."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from importlib.machinery import FileFinder, ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType
from typing import ClassVar

from rsir_bench.base.errors import UserError
from rsir_bench.method.authoring.mistakes import classes_twice, in_words
from rsir_bench.method.code.code_files import code_files, forget_modules, is_installed


def import_plugins(
    paths: Iterable[Path], leave_out: Callable[[Path, UserError], object] | None = None
) -> Iterator[tuple[Path, ModuleType]]:
    """Import users' files; each call reads them, and the modules in their folders, again.

    Installed modules take precedence over modules of the same name in the folder of a file.

    Args:
        paths: The files.
        leave_out: Called with each file that is broken; None: the first one is an error.

    Raises:
        UserError: There is no ``leave_out``, and a file is not Python, cannot be imported, or needs a module whose name
            clashes with that of another file.
    """
    paths = list(dict.fromkeys(paths))
    _Fresh.begin(paths)
    for path in paths:
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
        sys.modules[name] = module
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise UserError(f"plugin {path}: cannot be imported ({in_words(error)}); fix it") from error
    if twice := classes_twice(path):
        raise UserError(f"plugin {path}: {twice}; rename one")
    _refuse_other_plugins_module(path)
    return module


def _refuse_other_plugins_module(path: Path) -> None:
    for file in path.resolve().parent.glob("*.py"):
        loaded = getattr(sys.modules.get(file.stem), "__file__", None)
        if loaded and loaded != str(file) and Path(loaded).parent in _Fresh.folders:
            raise UserError(f"plugin {path}: {file.name} and {loaded} have the same name; rename one of them")


class _FromSource(SourceFileLoader):
    """Compiles the current source: Python's bytecode files miss a second change within the same second."""

    def get_code(self, fullname: str) -> CodeType:
        """Return the compiled source of a module."""
        path = self.get_filename(fullname)
        return self.source_to_code(self.get_data(path), path)


class _Fresh:
    """Finds the users' modules, from source, in the folders of plugins, if no installed module has the same name."""

    folders: ClassVar[dict[Path, None]] = {}
    files: ClassVar[set[Path]] = set()

    @classmethod
    def begin(cls, plugins: Sequence[Path]) -> None:
        """Forget the users' modules found so far, and serve these plugins from now on."""
        cls.folders = dict.fromkeys(path.resolve().parent for path in plugins)
        for name, module in list(sys.modules.items()):
            spec = getattr(module, "__spec__", None)
            if spec is not None and isinstance(spec.loader, _FromSource):
                del sys.modules[name]
        cls.files = set()
        for path in plugins:
            with suppress(UserError):  # importing it tells
                cls.files |= set(code_files(path)) if path.is_file() else set()
        forget_modules(cls.files)  # the user may have imported them before they changed
        if cls in sys.meta_path:
            sys.meta_path.remove(cls)
        if plugins:  # otherwise every import of the process would be looked up twice for nothing
            sys.meta_path.insert(0, cls)

    @classmethod
    def find_spec(
        cls, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return how to load a user's module; None: Python's own finders load it."""
        spec = PathFinder.find_spec(name, path)
        if spec is None:
            return cls._beside(name, target) if path is None else None
        origin = Path(spec.origin).resolve() if spec.has_location and spec.origin else None
        if origin is None or origin.suffix != ".py" or not cls._serves(origin):
            return None
        inside = spec.submodule_search_locations
        loader = _FromSource(name, str(origin))
        return importlib.util.spec_from_file_location(name, origin, loader=loader, submodule_search_locations=inside)

    @classmethod
    def _serves(cls, file: Path) -> bool:
        if file in cls.files:
            return True
        near = any(file.is_relative_to(folder) for folder in cls.folders)
        return near and not is_installed(file)  # an environment may be in the folder of the plugin

    @classmethod
    def _beside(cls, name: str, target: ModuleType | None) -> ModuleSpec | None:
        for folder in cls.folders:
            spec = FileFinder(str(folder), (_FromSource, [".py"])).find_spec(name, target)
            if spec and spec.loader is not None:  # a folder without __init__.py is no module here
                return spec
        return None

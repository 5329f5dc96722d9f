"""Where weights come from: optional libraries, files, and hubs; every failure is one line that says what to do."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from rsir_bench.base.errors import UserError, one_line

REFUSALS = (TypeError, AssertionError, RuntimeError, ValueError, LookupError, NotImplementedError, AttributeError)
"""What libraries raise for a model that they do not have, or that cannot be built as asked."""


def optional(module: str, extra: str) -> Any:
    """Import a library that comes with an extra.

    Raises:
        UserError: It is not installed.
    """
    if find_spec(module) is None:
        raise UserError(f"{module} is not installed; install it with `pip install 'rsir-bench[{extra}]'`")
    return import_module(module)


def find_file(file: str, folders: Sequence[Path]) -> Path:
    """Return the path of a file of weights: as given, or in one of the folders.

    Raises:
        UserError: It is not there.
    """
    places = [Path(file), *(folder / file for folder in folders)]
    if (found := first_there(places, Path.is_file)) is not None:
        return found
    looked = ", ".join(dict.fromkeys(str(path.parent) for path in places))
    raise UserError(f"weights {file}: not found (looked in {looked}); put the file there, or name it with its folder")


def find_folder(model: str, folders: Sequence[Path]) -> Path | None:
    """Return the folder that a model's name names: as given, or in one of the folders; None if it names none."""
    return first_there([Path(model), *(folder / model for folder in folders)], Path.is_dir)


def first_there(places: Sequence[Path], kind: Callable[[Path], bool]) -> Path | None:
    """Return the first of several paths that is of a kind, ``Path.is_file`` or ``Path.is_dir``; None if none is."""
    for path in places:
        with suppress(OSError, ValueError):  # no name of a file
            if kind(path):
                return path
    return None


@contextmanager
def building(offline: str) -> Iterator[None]:
    """Report what building a network raises, in one line.

    Args:
        offline: What to do where weights cannot be fetched.

    Raises:
        UserError: The library refuses, or weights cannot be fetched.
    """
    talkers = [logging.getLogger(name) for name in (None, "huggingface_hub")]  # OpenCLIP logs to the root
    levels = [logger.level for logger in talkers]
    for logger in talkers:
        logger.setLevel(logging.ERROR)  # each retry of the hub is logged, for over a minute
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        if isinstance(error, (*REFUSALS, ImportError)) and not isinstance(error, OSError) and not _of_network(error):
            raise UserError(f"cannot be built: {one_line(error)}; see the library's list of models") from None
        if not isinstance(error, OSError) and not _of_network(error):
            raise
        raise UserError(f"its weights cannot be fetched ({one_line(error)}); {offline}") from None
    finally:
        for logger, level in zip(talkers, levels, strict=True):
            logger.setLevel(level)


def _of_network(error: BaseException | None) -> bool:
    """Return whether an error, or what led to it, is one of a connection: libraries wrap those in their own kinds."""
    while error is not None:
        names = {f"{kind.__module__.partition('.')[0]}.{kind.__name__}" for kind in type(error).__mro__}
        if isinstance(error, OSError) or names & {"httpx.HTTPError", "requests.RequestException"}:
            return True
        error = error.__cause__ or error.__context__
    return False


def hub_files(repository: str | None, names: Iterable[str], revision: str = "main") -> tuple[Path, ...] | None:
    """Return the cached files of a repository of the Hugging Face hub, with what says which version is meant.

    Args:
        repository: ``ORG/NAME``; None: there is none.
        names: Of files; those that the repository lacks are left out.
        revision: A branch, a tag or a commit.

    Returns:
        None if none of them is cached.
    """
    if repository is None:
        return None
    hub = import_module("huggingface_hub")
    cached = (hub.try_to_load_from_cache(repository, name, revision=revision) for name in names)
    found = [path for path in cached if isinstance(path, str)]
    if not found:
        return None
    # .../models--ORG--NAME/snapshots/COMMIT/FILE, and refs/REVISION next to snapshots, which names the commit.
    version = Path(found[0]).parents[2] / "refs" / revision
    return (*map(Path, found), *([version] if version.is_file() else []))

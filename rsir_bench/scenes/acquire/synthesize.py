"""Draw a synthetic dataset when it is first used."""

from __future__ import annotations

import hashlib
import importlib
import shutil
from pathlib import Path

from rsir_bench.base.errors import UserError
from rsir_bench.base.files import locked
from rsir_bench.scenes.cache_folder import kept_at, written_at
from rsir_bench.scenes.card import Generator


def synthesized(name: str, generator: Generator) -> Path:
    """Return the folder of a synthetic dataset, written once for each set of arguments and state of the generator.

    The generator's state is the source of all modules in its folder, since they may import one another.
    """
    module_name, _, function_name = generator.function.partition(":")
    module = importlib.import_module(module_name)
    sources = sorted(Path(str(module.__file__)).parent.glob("*.py"))
    state = b"".join(source.read_bytes() for source in sources)
    key = hashlib.sha256(state + repr(sorted(generator.arguments.items())).encode()).hexdigest()[:16]
    place = ("synthetic", f"{name}-{key}")
    for made in kept_at(*place):
        if made.is_dir():
            return made
    folder = written_at(*place)
    with locked(folder.with_name(f"{folder.name}.lock")):
        if not folder.is_dir():
            unfinished = folder.with_suffix(".tmp")
            shutil.rmtree(unfinished, ignore_errors=True)  # left behind by a process that was stopped
            try:
                unfinished.mkdir()
                getattr(module, function_name)(unfinished, **generator.arguments)
                unfinished.rename(folder)
            except OSError as error:
                raise UserError(
                    f"{folder}: the scenes of {name} cannot be written ({error.strerror}); "
                    "free some space or set RSIR_BENCH_CACHE to another disk"
                ) from error
    return folder

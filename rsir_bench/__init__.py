"""rsir-bench: a benchmark for remote sensing image retrieval.

``score`` scores descriptors from any program. ``run`` trains and scores methods, as ``rsir-bench run`` does;
``read_records`` reads its records, ``write_report`` writes a report about them, and ``search_scenes`` finds similar
scenes.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rsir_bench.base.moved import serve_old_modules
from rsir_bench.runs.request import DESCRIPTIONS, Request, UserFiles  # words only: neither numpy nor torch

if TYPE_CHECKING:
    from rsir_bench.ranking import score
    from rsir_bench.records.schema import Record
    from rsir_bench.search.answer import Answer

__all__ = ["read_records", "run", "score", "search_scenes", "write_report"]
serve_old_modules()


def _signature_of_run() -> inspect.Signature:
    """Return the parameters of a request, all but the first two keyword-only, with "auto" as the default device."""
    methods, targets, *others = inspect.signature(Request).parameters.values()
    named = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in others]
    found = [parameter.replace(default="auto") if parameter.name == "device" else parameter for parameter in named]
    return inspect.Signature([methods, targets, *found], return_annotation="list[Record]")


def run(*arguments: Any, **parameters: Any) -> list[Record]:
    """Train and score methods; existing results are only read.

    Returns:
        One record for each result.

    Raises:
        rsir_bench.base.errors.UserError: The request is wrong in some way; nothing was started.
        rsir_bench.base.errors.RunError: At least one run failed; the others are done.
    """
    asked = _SIGNATURE.bind(*arguments, **parameters)
    asked.apply_defaults()
    from rsir_bench.base.errors import RunError
    from rsir_bench.base.progress import log
    from rsir_bench.runs.runners.campaign import campaign
    from rsir_bench.training.device import find_device

    request = Request(**asked.arguments | {"device": find_device(asked.arguments["device"])})
    outcome = campaign(request, log)
    if outcome.failures:
        raise RunError("; ".join(f"{title}: {reason}" for title, reason in outcome.failures.items()))
    return outcome.records


def read_records(*folders: str | Path) -> list[Record]:
    """Read all records below folders that ``run``, ``publish`` or ``rsir-bench run`` wrote.

    Raises:
        rsir_bench.base.errors.UserError: A folder does not exist, or a record cannot be read.
    """
    from rsir_bench.records import store

    return store.read_records([Path(folder) for folder in folders])


def write_report(
    records: Sequence[Record],
    out: str | Path = "report",
    runs: Sequence[str | Path] = (),
    *,
    data_root: str | Path = Request.data_root,
    plugins: Sequence[str | Path] = (),
    cards: Sequence[str | Path] = (),
    protocol: str | None = None,
) -> Path:
    """Write pages about records, as ``rsir-bench report`` does.

    Args:
        records: Records of any boards.
        out: A new folder, an empty one, or an earlier report, which is replaced.
        runs: Folders of runs, for pages of scenes.
        data_root: Folder that holds the datasets.
        plugins: The plugin files of these runs.
        cards: The cards of these runs.
        protocol: The TOML file of their protocol, unless it is a shipped one.

    Returns:
        The page to open.

    Raises:
        rsir_bench.base.errors.UserError: There are no records, they cannot share a board, or the folder holds other
            files.
    """
    from rsir_bench.report.site import build_report

    files = UserFiles(Path(data_root), list(map(Path, plugins)), list(map(Path, cards)), protocol)
    build_report(records, Path(out), list(map(Path, runs)), files)
    return Path(out) / "index.html"


def search_scenes(
    image: str | Path,
    method: str,
    target: str,
    *,
    seed: int = 0,
    row: str | None = None,
    top: int = 10,
    ann: str | None = None,
    after: str | Sequence[str] = (),
    protocol: str = Request.protocol,
    data_root: str | Path = Request.data_root,
    device: str = "auto",
    out: str | Path = Request.out,
    overrides: Sequence[str] = (),
    plugins: Sequence[str | Path] = (),
    cards: Sequence[str | Path] = (),
) -> Answer:
    """Find the scenes of a target that are most similar to an image, as ``rsir-bench search`` does.

    Args:
        image: An image file from anywhere.
        method: A trained method.
        target: A dataset, or ``folder:PATH`` and the like.
        seed: Seed of the run.
        row: A row of the method; None: its PCA or code row.
        top: The number of scenes to find.
        ann: ``hnsw`` or ``ivf`` for an approximate search; None searches exactly.
        after: Also post-process the exact search, as in ``run``.
        protocol: A shipped protocol's name, or a TOML file.
        data_root: Folder that holds the datasets.
        device: As in ``run``.
        out: Folder of the runs.
        overrides: The changed settings of the run: ``section.key=value``.
        plugins: Files of methods or post-processing.
        cards: The cards of the run.

    Raises:
        rsir_bench.base.errors.UserError: The run is not trained, or the image cannot be read.
    """
    from rsir_bench.base.progress import log
    from rsir_bench.method.postprocessing import named_after, own_kinds
    from rsir_bench.search import answer
    from rsir_bench.training.device import find_device

    request = Request(
        [method],
        [target],
        protocol,
        [seed],
        Path(data_root),
        find_device(device),
        Path(out),
        overrides,
        plugins=list(map(Path, plugins)),
        after=after,
        cards=list(map(Path, cards)),
    )
    kinds = [one.processing for one in named_after(request.after, own_kinds(request.plugins))]
    return answer.search_scenes(Path(image), request, row=row, top=top, ann=ann, after=kinds, log=log)


# The parameters are named and described once, in Request.
_SIGNATURE = _signature_of_run()
_PARAMETERS = "".join(f"    {name}: {DESCRIPTIONS[name]}\n" for name in _SIGNATURE.parameters)
run.__signature__ = _SIGNATURE  # type: ignore[attr-defined]
run.__doc__ = inspect.cleandoc(run.__doc__ or "").replace("Returns:", f"Args:\n{_PARAMETERS}\nReturns:", 1)


def __getattr__(name: str) -> object:
    """Import ``score`` when it is first used: it needs torch, which ``import rsir_bench`` should not load."""
    if name == "score":
        from rsir_bench.ranking import score

        return score
    if name == "__version__":
        from importlib.metadata import version

        return version("rsir-bench")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__", "__doc__"])

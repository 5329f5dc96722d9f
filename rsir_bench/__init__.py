"""rsir-bench: a benchmark of remote sensing image retrieval.

``score`` scores descriptors made anywhere; ``run`` trains and scores methods as ``rsir-bench run`` does.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rsir_bench.base.moved import serve_old_modules

if TYPE_CHECKING:
    from rsir_bench.ranking import Scores
    from rsir_bench.records.schema import Record

__version__ = "0.1.0"
__all__ = ["run", "score"]
serve_old_modules()


def score(descriptors: Any, labels: Any, **options: Any) -> Scores:
    """Scores descriptors of shape (N, D), or codes, with labels of shape (N,): every scene queries all others.

    The options are those of :func:`rsir_bench.ranking.score`: ``similarity``, ``codes``, ``queries``, ``gallery``...

    Returns:
        The scores; ``scores.overall["mAP"]``.

    Raises:
        rsir_bench.base.errors.UserError: NaN, wrong shapes, fewer than two classes.
    """
    from rsir_bench.ranking import score as exact_score

    return exact_score(descriptors, labels, **options)


def run(
    methods: Sequence[str],
    targets: Sequence[str] = ("all",),
    *,
    protocol: str = "patternnet",
    seeds: Sequence[int] = (0,),
    data_root: str | Path = "data",
    device: str = "auto",
    out: str | Path = "runs",
    overrides: Sequence[str] = (),
    plugins: Sequence[str | Path] = (),
    distortions: Sequence[str] = (),
    published: str | Path | None = None,
) -> list[Record]:
    """Trains and scores methods; what is done already is only read.

    Args:
        methods: As in ``--methods``: names, or ``["all"]``.
        targets: Names of datasets, or ``["all"]`` for the protocol's.
        protocol: Name of a shipped protocol, or a TOML file.
        seeds: One training each.
        data_root: Folder that holds the datasets.
        device: ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"cuda:N"``.
        out: Folder of the runs.
        overrides: ``"section.key=value"``, as in ``--set``.
        plugins: Files with methods.
        distortions: As in ``--distort``: ``"haze:3"``, ``"haze"``, or ``["all"]``.
        published: Folder of published records, which count as done.

    Returns:
        One record for each result.

    Raises:
        rsir_bench.base.errors.UserError: Something must be changed before anything can start.
        rsir_bench.base.errors.RunError: At least one run failed; the others are done.
    """
    from rsir_bench.base.errors import RunError
    from rsir_bench.runs.request import Request
    from rsir_bench.runs.runners.campaign import campaign, to_stderr
    from rsir_bench.scenes.distortions import parse_distortions
    from rsir_bench.training.loop import find_device

    request = Request(
        methods=list(methods),
        targets=list(targets),
        protocol=protocol,
        seeds=list(seeds),
        data_root=Path(data_root),
        device=find_device(device),
        out=Path(out),
        overrides=list(overrides),
        plugins=[Path(plugin) for plugin in plugins],
        distortions=parse_distortions(list(distortions)),
        published=Path(published) if published is not None else None,
    )
    outcome = campaign(request, to_stderr)
    if outcome.failures:
        raise RunError("; ".join(f"{title}: {reason}" for title, reason in outcome.failures.items()))
    return outcome.records

"""rsir-bench: a benchmark of remote sensing image retrieval.

``score`` scores descriptors made by any program; ``run`` trains and scores methods as ``rsir-bench run`` does.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from rsir_bench.base.moved import serve_old_modules
from rsir_bench.runs.request import DESCRIPTIONS, Request  # words only: neither numpy nor torch

if TYPE_CHECKING:
    from rsir_bench.ranking import score
    from rsir_bench.records.schema import Record

__all__ = ["run", "score"]
serve_old_modules()


def _signature_of_run() -> inspect.Signature:
    """Return the parameters of a request, where all but the first two must be named, and the device is found."""
    methods, targets, *others = inspect.signature(Request).parameters.values()
    named = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in others]
    found = [parameter.replace(default="auto") if parameter.name == "device" else parameter for parameter in named]
    return inspect.Signature([methods, targets, *found], return_annotation="list[Record]")


def run(*arguments: Any, **parameters: Any) -> list[Record]:
    """Train and score methods; results that exist are only read.

    Returns:
        One record for each result.

    Raises:
        rsir_bench.base.errors.UserError: Something must be changed before anything can start.
        rsir_bench.base.errors.RunError: At least one run failed; the others are done.
    """
    asked = _SIGNATURE.bind(*arguments, **parameters)
    asked.apply_defaults()
    from rsir_bench.base.errors import RunError
    from rsir_bench.base.progress import log
    from rsir_bench.runs.runners.campaign import campaign
    from rsir_bench.training.loop import find_device

    request = Request(**asked.arguments | {"device": find_device(asked.arguments["device"])})
    outcome = campaign(request, log)
    if outcome.failures:
        raise RunError("; ".join(f"{title}: {reason}" for title, reason in outcome.failures.items()))
    return outcome.records


# The parameters are named and described once, in Request.
_SIGNATURE = _signature_of_run()
_PARAMETERS = "".join(f"    {name}: {DESCRIPTIONS[name]}\n" for name in _SIGNATURE.parameters)
run.__signature__ = _SIGNATURE  # type: ignore[attr-defined]
run.__doc__ = inspect.cleandoc(run.__doc__ or "").replace("Returns:", f"Args:\n{_PARAMETERS}\nReturns:", 1)


def __getattr__(name: str) -> object:
    """Look up what is slow when it is first used: ``score`` needs torch, which ``import rsir_bench`` does not."""
    if name == "score":
        from rsir_bench.ranking import score

        return score
    if name == "__version__":
        from importlib.metadata import version

        return version("rsir-bench")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__", "__doc__"])

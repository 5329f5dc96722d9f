"""The work of every rank but the first when several processes train one network."""

from __future__ import annotations

from rsir_bench.base.errors import RunError
from rsir_bench.runs.artifacts.chain import RunArtifacts
from rsir_bench.runs.plan import ELSEWHERE, Plan, make_plan
from rsir_bench.runs.request import Request
from rsir_bench.training import distributed


def follow(request: Request) -> None:
    """Take part in what the first rank trains and describes, until that ends."""
    plan: Plan | None = None
    for order in distributed.orders():
        with distributed.collective(str(order.folder)):
            plan = plan or make_plan(request)
            run = next((run for run in plan.runs if run.folder == order.folder), None)
            if run is None:
                raise RunError(ELSEWHERE)
            RunArtifacts(plan, run).take_part(order)

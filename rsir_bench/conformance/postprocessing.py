"""Check a user's post-processing: it ranks, and a query's ranking is the same whoever else is asked."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from rsir_bench.base.errors import UserError
from rsir_bench.base.traces import with_place
from rsir_bench.conformance.harness import Failure
from rsir_bench.method.postprocessing import OwnKind
from rsir_bench.ranking import Scores, score

State = Literal["ok", "failed", "not run"]

SCENES, CLASSES, VALUES = 400, 8, 32
SAME = 1e-6
"""Difference of an average precision that is rounding."""


@dataclass(frozen=True)
class AfterBench:
    """Descriptors around the centres of classes, and the kind with its usual values."""

    own: OwnKind

    @cached_property
    def rows(self) -> np.ndarray:
        """(N, D) float32, or (N, D) of 0 and 1 where only codes can be ranked."""
        chance = np.random.default_rng(0)
        rows = chance.normal(size=(CLASSES, VALUES))[self.labels] + 1.5 * chance.normal(size=(SCENES, VALUES))
        found: np.ndarray = (rows > 0) if self.similarity == "hamming" else rows.astype(np.float32)
        return found

    @cached_property
    def labels(self) -> np.ndarray:
        """(N,) int64."""
        labels: np.ndarray = np.random.default_rng(1).integers(0, CLASSES, SCENES)
        return labels

    @property
    def similarity(self) -> str:
        """The first similarity that the kind is defined for."""
        return next(iter(self.own.kind.similarities), "hamming")

    def scores(self, queries: np.ndarray | None = None, block: int | None = None) -> Scores:
        """Return the scores after post-processing."""
        after = self.own.kind()
        found = score(self.rows, self.labels, similarity=self.similarity, queries=queries, block=block, after=after)
        assert isinstance(found, Scores)  # one label per scene
        return found


def ranks(bench: AfterBench) -> str:
    """Rank 400 scenes with the usual values, and return the mAP after and before."""
    plain = score(bench.rows, bench.labels, similarity=bench.similarity).overall["mAP"]
    return f"mAP {bench.scores().overall['mAP']:.3f}, without it {plain:.3f}"


def blocks(bench: AfterBench) -> None:
    """Check that blocks of other sizes give the same rankings.

    Raises:
        Failure: They do not.
    """
    _refuse_other(bench.scores(), bench.scores(block=7), "in blocks of 7 queries")


def queries(bench: AfterBench) -> None:
    """Check that a query has the same ranking if fewer others are asked.

    Raises:
        Failure: It has not.
    """
    chosen = np.random.default_rng(2).permutation(SCENES)[: SCENES // 4]
    _refuse_other(bench.scores(), bench.scores(chosen), "where a quarter of the scenes are queries")


CHECKS: tuple[Callable[[AfterBench], str | None], ...] = (ranks, blocks, queries)


def check_kind(own: OwnKind) -> Iterator[tuple[str, State, str]]:
    """Yield the name of each check, ``"ok"``, ``"failed"`` or ``"not run"``, and a detail or what is wrong."""
    bench, broken = AfterBench(own), False
    for check in CHECKS:
        if broken:
            yield check.__name__, "not run", ""
            continue
        try:
            yield check.__name__, "ok", check(bench) or ""
        except (Failure, UserError) as failure:
            broken = isinstance(failure, UserError)
            yield check.__name__, "failed", str(failure)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a plugin may raise anything
            broken = True
            yield check.__name__, "failed", with_place(error, (own.source,))


def _refuse_other(every: Scores, other: Scores, where: str) -> None:
    of_query = dict(zip(every.query_index.tolist(), every.per_query["mAP"].tolist(), strict=True))
    values = zip(other.query_index.tolist(), other.per_query["mAP"].tolist(), strict=True)
    differing = [query for query, value in values if abs(of_query[query] - value) > SAME]
    if differing:
        raise Failure(f"{len(differing)} rankings differ {where}, first that of scene {differing[0]}")

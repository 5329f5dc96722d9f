"""Check the arguments of ``score`` for scenes with several labels, and prepare queries and gallery."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor

from rsir_bench.base.errors import UserError
from rsir_bench.ranking.after.contract import PostProcessing
from rsir_bench.ranking.graded.label_sets import LabelSets, label_sets
from rsir_bench.ranking.queries import LeftOutPairs, left_out_pairs, query_indices
from rsir_bench.ranking.task import Task, checked_descriptor_rows, post_processed, prepared_task
from rsir_bench.ranking.threads import Workers

AT_ONCE = 2**22  # pairs of label sets


@dataclass(frozen=True)
class GradedTask(Task):
    """Queries and a gallery whose scenes have several labels; their label sets are the classes of the task.

    Attributes:
        members: (C, L) bool, the labels of each set.
        label_names: The L labels.
    """

    members: Tensor
    label_names: tuple[str, ...]


def graded_task(
    descriptors: Any,
    labels: Any,
    *,
    similarity: str,
    codes: bool,
    bits: int | None,
    bit_order: str,
    queries: Any,
    gallery: Any,
    gallery_labels: Any,
    class_names: Sequence[str] | Mapping[Any, str] | None,
    device: str,
    workers: Workers,
    own: Any = None,
    ignore: Any = None,
    after: PostProcessing | None = None,
) -> GradedTask:
    """Check the arguments of ``rsir_bench.ranking.score``, which documents them, and prepare the rows.

    Raises:
        UserError: The input cannot be scored.
    """
    given = checked_descriptor_rows(
        descriptors,
        gallery,
        gallery_labels,
        queries,
        similarity=similarity,
        codes=codes,
        bits=bits,
        bit_order=bit_order,
    )
    scenes, gallery_scenes = len(given.rows), len(given.gallery_rows)
    sets = label_sets(labels, scenes, gallery_labels, gallery_scenes, class_names)
    asked = query_indices(queries, scenes)
    pairs = left_out_pairs(own, ignore, scenes, None if given.own else gallery_scenes)
    if after is not None:
        given, pairs = post_processed(given, pairs, after, asked, own, ignore)
    scored = _sharing(sets, given.own, pairs)[asked] > 0
    if not bool(scored.any()):
        raise UserError("labels: no query shares a label with a scene of the gallery, so there is nothing to score")
    names = [str(number) for number in range(len(sets.members))]
    task = prepared_task(given, names, sets.queries, sets.gallery, asked, scored, device, workers, pairs)
    plain = {field.name: getattr(task, field.name) for field in fields(task)}
    return GradedTask(**plain, members=sets.members, label_names=sets.names)


def _sharing(sets: LabelSets, own: bool, pairs: LeftOutPairs | None) -> Tensor:
    """Return how many scenes of its ranking share a label with each descriptor's, (N,) int64.

    Raises:
        UserError: All scenes of the gallery have the same labels.
    """
    counts = torch.bincount(sets.gallery, minlength=len(sets.members))
    if int((counts > 0).sum()) < 2:
        problem = "all scenes of the gallery have the same labels, so every ranking is perfect"
        raise UserError(f"labels: {problem}; add scenes with others")
    labels, every = sets.members.double(), counts.double()
    parts = torch.split(labels, max(1, AT_ONCE // len(labels)))  # nothing of size C x C
    sharing = torch.cat([((part @ labels.T > 0).double() @ every).long() for part in parts])[sets.queries] - int(own)
    if pairs is None:
        return sharing
    both = sets.members[sets.queries[pairs.rows]] & sets.members[sets.gallery[pairs.scenes]]
    return sharing - torch.bincount(pairs.rows[both.any(dim=1)], minlength=len(sharing))

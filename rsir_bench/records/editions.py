"""Editions: copies of a dataset with other bytes. Results on several are separate targets, which nothing mixes.

The edition of a result is that of its target and, where it was trained, that of its source.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from rsir_bench.records.schema import Record
from rsir_bench.scenes.card import edition_name

Copy = tuple[str, str]
"""The name of a dataset and the fingerprint of one of its editions."""


def target_edition(record: Record) -> str:
    """Return what the edition of the target is called."""
    return edition_name(record.target.name, record.target.fingerprint)


def source_edition(record: Record) -> str:
    """Return what the edition of the source is called; empty where nothing was trained."""
    return edition_name(record.source.name, record.source.fingerprint) if record.source else ""


def with_editions(records: Iterable[Record]) -> list[Record]:
    """Return records in the same order, with their editions in the labels of their targets, where a board has several.

    The label ``rsscn7 (original)`` tells editions of a target apart, ``rsscn7 (original, source original)`` those of
    the source too: where records of one protocol were trained on several. An untrained method has no source; it is
    with those that were trained on the only source of its edition of the target, or else apart. ``target.suite`` counts
    from 0, which has the most results: the targets of one suite have one source and, of each dataset, one edition.
    """
    found = list(records)
    boards: dict[tuple[str, str], list[int]] = defaultdict(list)
    for place, record in enumerate(found):
        boards[record.protocol.board, record.protocol.hash].append(place)
    for places in boards.values():
        for place, record in zip(places, _labelled([found[place] for place in places]), strict=True):
            found[place] = record
    return found


class Suited(Protocol):
    """What is in an edition and in a suite: the target of a record, or the block of a table."""

    @property
    def edition(self) -> str:
        """Which of several editions it is, in words."""

    @property
    def suite(self) -> int:
        """The number of its suite."""


def suite_names(targets: Iterable[Suited]) -> dict[int, str]:
    """Return the editions of each suite by its number, in words, the source's last; empty for the only suite."""
    words: dict[int, set[str]] = defaultdict(set)
    for target in targets:
        words[target.suite] |= {*target.edition.split(", ")} - {""}

    def in_words(suite: int) -> str:
        return ", ".join(sorted(words[suite], key=lambda word: (word.startswith("source "), word)))

    return {suite: in_words(suite) if len(words) > 1 else "" for suite in sorted(words)}


def of_usual_editions(records: Iterable[Record]) -> list[Record]:
    """Return the records on the editions that most records of each dataset are on, among all boards."""
    found = list(records)
    used: dict[str, Counter[str]] = defaultdict(Counter)
    for record in found:
        for name, fingerprint in _copies(record):
            used[name][fingerprint] += 1
    usual = {name: max(sorted(counts), key=counts.__getitem__) for name, counts in used.items()}
    return [record for record in found if all(usual[name] == fingerprint for name, fingerprint in _copies(record))]


def _copies(record: Record) -> list[Copy]:
    return [_target(record), *filter(None, [_source(record)])]


def _target(record: Record) -> Copy:
    return record.target.name, record.target.fingerprint


def _source(record: Record) -> Copy | None:
    return (record.source.name, record.source.fingerprint) if record.source else None


def _labelled(records: Sequence[Record]) -> list[Record]:
    """Return the records of one board, labelled."""
    names = _names({copy for record in records for copy in _copies(record)})
    sources: dict[Copy, set[Copy]] = defaultdict(set)
    for record in records:
        sources[_target(record)] |= {*filter(None, [_source(record)])}
    targets = Counter(name for name, _ in sources)
    several_sources = len({copy for of in sources.values() for copy in of}) > 1
    if not several_sources and max(targets.values(), default=0) < 2:
        return list(records)

    def source_of(record: Record) -> Copy | None:
        of_target = sources[_target(record)] if several_sources else ()
        return next(iter(of_target)) if len(of_target) == 1 else (_source(record) if several_sources else None)

    def words(record: Record) -> str:
        source = source_of(record)
        parts = [names[_target(record)]] if targets[record.target.name] > 1 else []
        return ", ".join([*parts, *([f"source {names[source]}"] if source else [])])

    groups = Counter((source_of(record), *_target(record)) for record in records)
    suites = _suites(groups, names)
    return [
        record.model_copy(
            update={"target": record.target.in_edition(words(record), suites[source_of(record), *_target(record)])}
        )
        for record in records
    ]


Group = tuple[Copy | None, str, str]
"""A source, and the name and the fingerprint of a target."""


def _suites(groups: Counter[Group], names: Mapping[Copy, str]) -> dict[Group, int]:
    """Return the number of the suite of each group: by source, and in it the editions of each dataset by size.

    Editions of several datasets that are called alike are in one suite, as far as possible: their sizes are added.

    Args:
        groups: The number of results of each group.
        names: What each edition is called.
    """
    called = Counter[tuple[Copy | None, str]]()
    for (source, name, fingerprint), count in groups.items():
        called[source, names[name, fingerprint]] += count

    def order_in_dataset(group: Group) -> tuple[int, str, int, str]:
        source, name, fingerprint = group
        edition = names[name, fingerprint]
        return -called[source, edition], edition, -groups[group], fingerprint

    ranks: dict[Group, tuple[Copy | None, int]] = {}
    seen: Counter[tuple[Copy | None, str]] = Counter()
    for group in sorted(groups, key=order_in_dataset):
        source, name, _ = group
        ranks[group] = source, seen[source, name]
        seen[source, name] += 1
    sizes: Counter[tuple[Copy | None, int]] = Counter()
    for group, rank in ranks.items():
        sizes[rank] += groups[group]
    order = sorted(sizes, key=lambda rank: (-sizes[rank], str(rank)))
    return {group: order.index(rank) for group, rank in ranks.items()}


def _names(copies: Iterable[Copy]) -> dict[Copy, str]:
    """Return what each edition is called; by its whole fingerprint where two of a dataset would be called alike."""
    found = {copy: edition_name(*copy) for copy in copies}
    shared = Counter((name, edition) for (name, _), edition in found.items())
    return {copy: edition if shared[copy[0], edition] == 1 else copy[1] for copy, edition in found.items()}

"""Editions: copies of a dataset with different bytes. Results on them are separate targets, which nothing mixes.

The edition of a result is that of its target and, if the method was trained, that of its source.
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
    """Return the name of the target's edition."""
    return edition_name(record.target.name, record.target.fingerprint)


def source_edition(record: Record) -> str:
    """Return the name of the source's edition; empty if nothing was trained."""
    return edition_name(record.source.name, record.source.fingerprint) if record.source else ""


def with_editions(records: Iterable[Record]) -> list[Record]:
    """Return records in the same order; if a board has several editions, the labels of its targets name them.

    The label ``rsscn7 (original)`` tells editions of a target apart, ``rsscn7 (original, source original)`` also those
    of the source, if records of one protocol were trained on several. An untrained method has no source: it is grouped
    with the trained ones if all of those on its edition of the target have the same source, otherwise it is separate.
    ``target.suite`` counts from 0, the suite with the most results. All targets of a suite have the same source, and
    each of its datasets has one edition there.

    Targets of one title, such as two folders, have their names in their headings.
    """
    found = list(records)
    boards: dict[tuple[str, str], list[int]] = defaultdict(list)
    for place, record in enumerate(found):
        boards[record.protocol.board, record.protocol.hash].append(place)
    for places in boards.values():
        labelled = _with_different_headings(_labelled([found[place] for place in places]))
        for place, record in zip(places, labelled, strict=True):
            found[place] = record
    return found


class Suited(Protocol):
    """What has an edition and a suite: the target of a record, or the block of a table."""

    @property
    def edition(self) -> str:
        """Its edition, in words; empty if the board has only one."""

    @property
    def suite(self) -> int:
        """The number of its suite."""


def suite_names(targets: Iterable[Suited]) -> dict[int, str]:
    """Return the name of each suite by number: its editions, the source's last; empty if there is only one suite."""
    words: dict[int, set[str]] = defaultdict(set)
    for target in targets:
        words[target.suite] |= {*target.edition.split(", ")} - {""}

    def in_words(suite: int) -> str:
        return ", ".join(sorted(words[suite], key=lambda word: (word.startswith("source "), word)))

    return {suite: in_words(suite) if len(words) > 1 else "" for suite in sorted(words)}


def of_usual_editions(records: Iterable[Record]) -> list[Record]:
    """Return the records on the edition of each dataset that has the most records, over all boards."""
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


def _with_different_headings(records: Sequence[Record]) -> list[Record]:
    """Return the records of one board, with the name in the heading of each target that shares its title."""
    shared = Counter(title for title, _ in {(record.target.title, record.target.name) for record in records})
    return [
        record.model_copy(update={"target": record.target.named_in_heading()})
        if shared[record.target.title] > 1
        else record
        for record in records
    ]


Group = tuple[Copy | None, str, str]
"""A source, and the name and the fingerprint of a target."""


def _suites(groups: Counter[Group], names: Mapping[Copy, str]) -> dict[Group, int]:
    """Return the suite of each group: one for each source and, within it, each rank of the editions by size.

    Editions of the same name are in one suite, as far as possible: the sizes of all datasets are added.

    Args:
        groups: The number of results of each group.
        names: The name of each edition.
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
    """Return the name of each edition; its whole fingerprint if two of a dataset would have the same name."""
    found = {copy: edition_name(*copy) for copy in copies}
    shared = Counter((name, edition) for (name, _), edition in found.items())
    return {copy: edition if shared[copy[0], edition] == 1 else copy[1] for copy, edition in found.items()}

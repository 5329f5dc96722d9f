"""From a value back to what made it: the files of its records, and the commands that make them again."""

from __future__ import annotations

import shlex
from collections import defaultdict
from collections.abc import Iterable, Sequence

from rsir_bench.base.errors import UserError
from rsir_bench.base.files import slug
from rsir_bench.records.cells import distortion_of
from rsir_bench.records.schema import Record

AGAIN = (
    "Each command makes all seeds of a line; --data-root names the folder of the datasets, and --again is needed where "
    "the published records lie in leaderboards/results."
)

Options = tuple[tuple[str, str], ...]
Words = tuple[Options, Options]
"""Options before and after those that are merged."""


def place(record: Record) -> str:
    """The name of a published record: ``<board>/<method>/<row>-<target>-seed<n>-<key>.json``."""
    distortion = f"-{slug(distortion_of(record))}" if record.distortion else ""
    fit = "-target-fit" if record.row.fit == "target" else ""
    name = f"{slug(record.row.name)}{fit}-{slug(record.target.name)}{distortion}-seed{record.seed}-{record.key[:8]}"
    return f"{record.protocol.board}/{slug(record.method.label)}/{name}.json"


def keys(records: Iterable[Record]) -> str:
    """The keys of the records, separated by spaces."""
    return " ".join(record.key for record in records)


def command(records: Sequence[Record]) -> str:
    """One line for the shell that makes all the records again; empty for none."""
    return " && ".join(commands(records))


def commands(records: Sequence[Record]) -> list[str]:
    """The commands that make these records and no other run, target or distortion.

    Commands of records are merged over seeds, targets and distortions where the rest of them is the same word by word,
    and only where the seeds of one target are those of the other: a command makes every seed on every target. Under a
    distortion it makes the target as it is too, and always all rows of the method.

    Raises:
        UserError: A record's command is none that ``rsir-bench run`` writes.
    """
    rests: dict[Words, dict[tuple[str, int], set[str]]] = defaultdict(lambda: defaultdict(set))
    for record in records:
        rest, target, distortion = _parsed(record)
        rests[rest][target, record.seed] |= {distortion} - {""}
    return [line for rest, runs in rests.items() for line in _merged(rest, runs)]


def by_method(records: Iterable[Record]) -> dict[str, list[str]]:
    """The commands of each method, by its label, in the order of the records."""
    methods: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        methods[record.method.label].append(record)
    return {label: commands(found) for label, found in methods.items()}


def _parsed(record: Record) -> tuple[Words, str, str]:
    """What stays when commands are merged, the target as the request named it, and the distortion or ``""``."""
    words = shlex.split(record.command)
    options = list(zip(words[2::2], words[3::2], strict=False))  # after "rsir-bench run"; each of them takes a value
    names, values = [name for name, _ in options], dict(options)
    if not {"--seeds", "--targets"} <= set(names):
        raise UserError(f"record {record.key}: its command {record.command!r} names no seeds or targets; run it again")
    first = names.index("--seeds")
    after = [option for option in options[first:] if option[0] not in ("--seeds", "--targets", "--distort")]
    return (tuple(options[:first]), tuple(after)), values["--targets"], values.get("--distort", "")


def _merged(rest: Words, runs: dict[tuple[str, int], set[str]]) -> list[str]:
    """Commands that share ``rest``, for the distortions of each target and seed."""
    groups: dict[tuple[str, ...], dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    for (target, seed), distortions in sorted(runs.items(), key=lambda run: run[0][1]):
        groups[tuple(sorted(distortions))][target].append(seed)
    lines = []
    for distorted, seeds_of in groups.items():
        targets_of: dict[tuple[int, ...], list[str]] = defaultdict(list)
        for target, seeds in seeds_of.items():
            targets_of[tuple(seeds)].append(target)
        lines += [_line(rest, common, targets, distorted) for common, targets in targets_of.items()]
    return lines


def _line(rest: Words, seeds: Iterable[int], targets: Iterable[str], distortions: Sequence[str]) -> str:
    before, after = rest
    merged = [("--seeds", ",".join(map(str, seeds))), ("--targets", ",".join(targets))]
    merged += [("--distort", ",".join(_shortened(distortions)))] if distortions else []
    return shlex.join(["rsir-bench", "run", *(word for option in (*before, *merged, *after) for word in option)])


def _shortened(distortions: Sequence[str]) -> list[str]:
    """``haze`` for all five of ``haze:1`` to ``haze:5``, as ``--distort`` reads it."""
    severities: dict[str, list[str]] = defaultdict(list)
    for distortion in distortions:
        kind, _, severity = distortion.partition(":")
        severities[kind].append(severity)
    return [
        word
        for kind, found in severities.items()
        for word in ([kind] if found == list("12345") else [f"{kind}:{severity}" for severity in found])
    ]

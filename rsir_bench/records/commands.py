"""Find the files of the records behind a result, and the commands that reproduce them."""

from __future__ import annotations

import shlex
from collections import defaultdict
from collections.abc import Iterable, Sequence

from rsir_bench.base.errors import UserError
from rsir_bench.base.files import slug
from rsir_bench.records.cells import after_of, after_slug, distortion_of, is_submitted
from rsir_bench.records.schema import Record, RequestFields

Variant = tuple[str, str]
"""A distortion and a post-processing; empty for none."""

AGAIN = "Each command makes all seeds of a row. Add --data-root FOLDER for the folder of the datasets."


def record_path(record: Record) -> str:
    """Return the name of a published record: ``<board>/<method>/<row>-<target>-seed<n>-<key>.json``."""
    distortion = f"-{slug(distortion_of(record))}" if record.distortion else ""
    fit = "-target-fit" if record.row.fit == "target" else ""
    after = f"-{after_slug(after_of(record))}" if record.after else ""
    name = (
        f"{slug(record.row.name)}{fit}{after}-{slug(record.target.name)}{distortion}-seed{record.seed}-{record.key[:8]}"
    )
    return f"{record.protocol.board}/{slug(record.method.label)}/{name}.json"


def keys(records: Iterable[Record]) -> str:
    """Return the keys of the records, separated by spaces."""
    return " ".join(record.key for record in records)


def request_of(record: Record) -> RequestFields:
    """Return the request that made a record; records from before it was stored have it in their command only.

    Raises:
        UserError: The record has no request, and its command is not one that ``rsir-bench run`` wrote.
    """
    if record.request is not None:
        return record.request
    values: dict[str, list[str]] = defaultdict(list)
    try:
        words = shlex.split(record.command)
        for option, value in zip(words[2::2], words[3::2], strict=False):  # after "rsir-bench run"; each takes a value
            values[option].append(value)
        return RequestFields(
            protocol=values["--protocol"][0],
            method=values["--methods"][0],
            seed=int(values["--seeds"][0]),
            target=values["--targets"][0],
            distortion="".join(values["--distort"]),
            overrides=tuple(values["--set"]),
            plugins=tuple(values["--plugin"]),
            cards=tuple(values["--card"]),
            after="".join(values["--after"]),
        )
    except (IndexError, ValueError):
        raise UserError(
            f"record {record.key}: its command {record.command!r} does not name protocol, method, seed and target; "
            "run it again"
        ) from None


def request_command(request: RequestFields) -> str:
    """Return the command that makes one run's results on one target."""
    distortions = [request.distortion] if request.distortion else []
    return _render(request, [request.seed], [request.target], distortions, [request.after] if request.after else [])


def command(records: Sequence[Record]) -> str:
    """Return one line for the shell that reproduces all the records; empty for none."""
    return " && ".join(commands(records))


def commands(records: Sequence[Record]) -> list[str]:
    """Return the commands that make these records and no other run, target or distortion.

    Requests are merged over seeds, targets, distortions and post-processing where all else is equal, and only where the
    targets have the same seeds: a command makes every seed on every target. With a distortion it also makes the
    undistorted target, with post-processing the plain rankings too, and it always makes all rows of the method.
    Descriptors that were submitted have none.

    Raises:
        UserError: A record's request cannot be read.
    """
    groups: dict[RequestFields, dict[tuple[str, int], set[Variant]]] = defaultdict(lambda: defaultdict(set))
    for record in records:
        if is_submitted(record):
            continue
        request = request_of(record)
        common = request.model_copy(update={"seed": 0, "target": "", "distortion": "", "after": ""})
        groups[common][request.target, record.seed].add((request.distortion, request.after))
    return [line for common, runs in groups.items() for line in _merged(common, runs)]


def by_method(records: Iterable[Record]) -> dict[str, list[str]]:
    """Return the commands of each method by its label, in the order of the records."""
    methods: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        methods[record.method.label].append(record)
    return {label: commands(of_method) for label, of_method in methods.items()}


def _merged(common: RequestFields, runs: dict[tuple[str, int], set[Variant]]) -> list[str]:
    """Return the commands for the variants of each target and seed; all else is in ``common``."""
    groups: dict[tuple[tuple[str, ...], ...], dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    for (target, seed), variants in sorted(runs.items(), key=lambda run: run[0][1]):
        distortions, afters = (tuple(sorted({*words} - {""})) for words in zip(*variants, strict=True))
        groups[distortions, afters][target].append(seed)
    lines = []
    for (distorted, processed), seeds_of in groups.items():
        targets_of: dict[tuple[int, ...], list[str]] = defaultdict(list)
        for target, seeds in seeds_of.items():
            targets_of[tuple(seeds)].append(target)
        options = _shortened(distorted), processed
        lines += [_render(common, seeds, targets, *options) for seeds, targets in targets_of.items()]
    return lines


def _render(
    common: RequestFields,
    seeds: Iterable[int],
    targets: Iterable[str],
    distortions: Sequence[str],
    afters: Sequence[str],
) -> str:
    words = ["rsir-bench", "run", "--protocol", common.protocol, "--methods", common.method]
    words += ["--seeds", ",".join(map(str, seeds)), "--targets", ",".join(targets)]
    words += ["--distort", ",".join(distortions)] if distortions else []
    words += [word for after in afters for word in ("--after", after)]
    words += [word for override in common.overrides for word in ("--set", override)]
    words += [word for plugin in common.plugins for word in ("--plugin", plugin)]
    words += [word for card in common.cards for word in ("--card", card)]
    return shlex.join(words)


def _shortened(distortions: Sequence[str]) -> list[str]:
    """Return ``haze`` for all five of ``haze:1`` to ``haze:5``, as ``--distort`` reads it."""
    severities: dict[str, list[str]] = defaultdict(list)
    for distortion in distortions:
        kind, _, severity = distortion.partition(":")
        severities[kind].append(severity)
    return [
        word
        for kind, of_kind in severities.items()
        for word in ([kind] if of_kind == list("12345") else [f"{kind}:{severity}" for severity in of_kind])
    ]

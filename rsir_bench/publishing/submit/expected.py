"""Derive the plan, run and key of a record with the current code, even if scenes are missing."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np

from rsir_bench.base.errors import SceneError, UserError
from rsir_bench.base.files import digest
from rsir_bench.method import registry
from rsir_bench.method.postprocessing import named_after
from rsir_bench.method.spec import MethodSpec
from rsir_bench.protocol import Protocol, load_protocol, shipped
from rsir_bench.publishing.submit.named import asked_as, check_target, named_protocol
from rsir_bench.records.cells import distortion_of
from rsir_bench.records.commands import request_of
from rsir_bench.records.schema import Record
from rsir_bench.runs.locate import LocatedResult
from rsir_bench.runs.plan import Plan, plan_runs
from rsir_bench.runs.request import Request, UserFiles
from rsir_bench.runs.resolve import (
    Resolved,
    ResolvedMethod,
    named_weights,
    needs_source,
    transform_of,
    weight_sources,
)
from rsir_bench.scenes.card import edition_name
from rsir_bench.scenes.distortions import parse_distortions
from rsir_bench.scenes.index import SceneIndex, index_listing, list_dataset
from rsir_bench.scenes.readers.given_cards import find_card, read_cards
from rsir_bench.scenes.reading.store import FolderStore

NOWHERE = Path("not here")
"""Where the scenes of a dataset are that is not on this machine."""


class Expected:
    """The plans, runs and keys that the current code gives records.

    Args:
        files: The folder of the datasets, cards, plugins, and the checker's protocol file.
        out: The folder of the runs that would make them.
        device: Where they would run.
        log: Takes a line for each dataset that is not here.
    """

    def __init__(self, files: UserFiles, out: Path, device: str, log: Callable[[str], object]) -> None:
        self.files, self.out, self.device, self.log = files, out, device, log
        self._methods = registry.discover(files.plugins)
        self._given = read_cards(files.cards)
        self._indices: dict[tuple[str, str | None], SceneIndex] = {}
        self._plans: dict[str, Plan] = {}

    def result(self, record: Record) -> LocatedResult:
        """Return the result that a record is of.

        Raises:
            UserError: Protocol, method, weights or scenes are not those here, or its key is another one.
        """
        plan = self._plan(record)
        for run in plan.runs:
            for cell in run.cells:
                if cell.key == record.key:
                    return LocatedResult(plan, run, cell)
        raise UserError(
            f"key {record.key[:8]}: does not follow from the record, which was changed or has other code; run it again"
        )

    def method(self, record: Record) -> MethodSpec:
        """Return the method that a record names.

        Raises:
            UserError: There is none of that name.
        """
        protocol = named_protocol(record.protocol.name, self.files.protocol)
        usual = load_protocol(protocol.name).methods if protocol.name in shipped() else {}
        return registry.resolve(record.method.name, self._methods, protocol.methods, usual)

    def is_here(self, index: SceneIndex) -> bool:
        """Return whether the scenes of a dataset are on this machine."""
        return index.root != NOWHERE

    def _plan(self, record: Record) -> Plan:
        protocol = named_protocol(record.protocol.name, self.files.protocol)
        target, distortion = request_of(record).target, distortion_of(record)
        said = [protocol.hash, record.method.name, record.seed, target, distortion, record.target.fingerprint]
        after = request_of(record).after
        identity = digest([*said, after, record.source and record.source.fingerprint, record.weights])
        if identity not in self._plans:
            self._plans[identity] = self._planned(record, protocol, target, distortion, after)
        return self._plans[identity]

    def _planned(self, record: Record, protocol: Protocol, target: str, distortion: str, after: str) -> Plan:
        check_target(target, protocol, self._given)
        if not protocol.trains:
            raise UserError(f"{protocol.name}: records of encoders are not taken; submit their descriptors")
        spec = self.method(record)
        weights = _claimed_weights(record, spec, protocol)
        request = Request(
            methods=[record.method.name],
            targets=[target],
            protocol=asked_as(protocol.name, self.files.protocol),
            seeds=[record.seed],
            data_root=self.files.data_root,
            device=self.device,
            out=self.out,
            plugins=self.files.plugins,
            cards=self.files.cards,
            distortions=[distortion] if distortion else [],
            after=[after] if after else [],
        )
        resolved = Resolved(
            request=request,
            protocol=protocol,
            board=record.protocol.board,
            methods=(ResolvedMethod(spec, weights, transform_of(protocol)),),
            absent=(),
            targets=(target,),
            datasets=self._datasets(record, spec, protocol, target),
            distortions=tuple(parse_distortions([distortion] if distortion else [])),
            published={},
            after=tuple(named_after([after] if after else [], self._methods.after)),
        )
        return plan_runs(resolved)

    def _datasets(self, record: Record, spec: MethodSpec, protocol: Protocol, target: str) -> dict[str, SceneIndex]:
        data, card = protocol.data, spec.card
        claims: dict[str, str | None] = {target: record.target.fingerprint}
        if needs_source(card, protocol) or data.leaked == "drop":
            claims[protocol.source] = record.source.fingerprint if record.source else None
        if card.needs_unlabelled and data.unlabelled:
            claims.setdefault(data.unlabelled, None)
        return {name: self._index(name, fingerprint) for name, fingerprint in claims.items()}

    def _index(self, name: str, fingerprint: str | None) -> SceneIndex:
        """Return the scenes that a record names: those here, or what the card says if that edition is missing."""
        if (name, fingerprint) not in self._indices:
            found = self._found(name)
            if found is not None and fingerprint is not None and fingerprint != found.fingerprint:
                if found.card is None:
                    raise UserError(
                        f"{name}: made with scenes of fingerprint {fingerprint[:12]}, but those here have "
                        f"{found.fingerprint[:12]}; without a card, give the same scenes"
                    )
                theirs, ours = edition_name(name, fingerprint), edition_name(name, found.fingerprint)
                self.log(f"not here   {name}: edition {theirs} of the record; the edition here is {ours}")
                found = None
            self._indices[name, fingerprint] = found or self._of_card(name, fingerprint)
        return self._indices[name, fingerprint]

    def _found(self, name: str) -> SceneIndex | None:
        """Return the scenes on this machine; None if they are not here."""
        for known, index in self._indices.items():
            if known[0] == name and self.is_here(index):
                return index
        try:
            return index_listing(list_dataset(name, self.files.data_root, self._given))
        except SceneError as error:
            self.log(f"not here   {error}")
            return None

    def _of_card(self, name: str, fingerprint: str | None) -> SceneIndex:
        card = find_card(name, self._given.cards)
        if fingerprint is None:
            raise UserError(
                f"{name}: not here, and the record has no fingerprint of it; put it under --data-root to check the key"
            )
        labels = np.repeat(np.arange(len(card.classes)), [one.scenes for one in card.classes])
        return SceneIndex(
            name=card.name,
            store=FolderStore(NOWHERE),
            paths=("",) * len(labels),
            labels=labels,
            classes=tuple(one.name for one in card.classes),
            fingerprint=fingerprint,
            bands=card.bands,
            rgb=card.rgb,
            value_range=card.value_range,
            card=card,
        )


def _claimed_weights(record: Record, spec: MethodSpec, protocol: Protocol) -> dict[str, str]:
    """Return the initial weights that a record says, checked against what the method and the protocol name."""
    starts = weight_sources(spec, protocol)
    claimed = {name: str(value) for name, value in record.weights.items() if name != "trained"}
    if claimed.keys() != starts.keys():
        raise UserError(f"weights: {', '.join(sorted(claimed)) or 'none'}, not {', '.join(sorted(starts)) or 'none'}")
    for name, start in starts.items():
        pinned = f"sha256:{start.sha256}" if start.sha256 else claimed[name]
        expected = named_weights(start) or pinned
        if claimed[name] != expected or not (named_weights(start) or re.fullmatch(r"sha256:[0-9a-f]{64}", expected)):
            raise UserError(f"weights.{name}: {claimed[name]!r:.80}, not {expected!r:.80}")
    return {name: claimed[name] for name in starts}

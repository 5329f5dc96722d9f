"""What a submission may name: protocols that ship or that the checker has named, and datasets with a card."""

from __future__ import annotations

from rsir_bench.base.errors import UserError
from rsir_bench.protocol import Protocol, load_protocol, shipped
from rsir_bench.scenes.readers.given_cards import GivenCards, find_card


def asked_as(name: str, own: str | None) -> str:
    """Return what ``--protocol`` takes for the protocol that a submission names: its name, or the checker's file.

    Raises:
        UserError: There is none of that name.
    """
    if own is not None and load_protocol(own).name == name:
        return own
    if name not in shipped():
        raise UserError(f"protocol {name!r:.60}: not one of {', '.join(shipped())}; name its file with --protocol")
    return name


def named_protocol(name: str, own: str | None) -> Protocol:
    """Return the protocol that a submission names; see ``asked_as``.

    Raises:
        UserError: There is none of that name.
    """
    return load_protocol(asked_as(name, own))


def check_target(name: str, protocol: Protocol, given: GivenCards) -> None:
    """Refuse a target that has no card and is none of the protocol's: a submission must not make us read any folder.

    Raises:
        UserError: It is such a one.
    """
    if name not in protocol.data.targets:
        find_card(name, given.cards)

"""Find the card of a dataset: those that a command names by ``--card`` count before those that are installed."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from rsir_bench.base.errors import UserError, one_line
from rsir_bench.base.text import decode
from rsir_bench.scenes.card import DatasetCard, load_cards, parse_card
from rsir_bench.scenes.readers.settings import SETTINGS_FILE, FolderSettings, read_settings
from rsir_bench.scenes.reading.prefixes import FOLDER_PREFIX, OWN_PREFIXES


@dataclass(frozen=True)
class GivenCards:
    """Cards and settings that a command names by ``--card``.

    Attributes:
        cards: Cards by the name of their dataset; they count before those that are installed.
        settings: For every dataset of the user's own; None: what its ``dataset.toml`` says.
    """

    cards: Mapping[str, DatasetCard] = field(default_factory=dict)
    settings: FolderSettings | None = None


def read_cards(files: Sequence[Path]) -> GivenCards:
    """Return what the files of ``--card`` say: each is the card of a dataset, or settings for those of the user's own.

    Raises:
        UserError: A file cannot be read or is not valid, or there are two for ``folder:``.
    """
    cards: dict[str, DatasetCard] = {}
    settings: FolderSettings | None = None
    for path in files:
        try:
            text = decode(path.read_bytes())
        except (OSError, ValueError) as error:
            raise UserError(f"--card {path}: cannot be read ({one_line(error)}); name a TOML file") from error
        if re.search(r"^\s*name\s*=", text, re.MULTILINE):
            card = parse_card(text, path.name, any_name=True)
            cards[card.name] = card
        elif settings is not None:
            remedy = f"write {SETTINGS_FILE} into each folder instead"
            raise UserError(f"--card {path}: a second one for folder:, parquet: and tar:; {remedy}")
        else:
            settings = read_settings(path)
    return GivenCards(cards, settings)


def find_card(name: str, given: Mapping[str, DatasetCard] | None = None) -> DatasetCard:
    """Return the card of a dataset.

    Args:
        name: The dataset's.
        given: Cards beside those that are installed.

    Raises:
        UserError: No card has this name; the line gives the nearest and the known ones.
    """
    cards = {**load_cards(), **(given or {})}
    if name in cards:
        return cards[name]
    near = difflib.get_close_matches(name.lower(), cards, n=1)
    hint = f" (did you mean {near[0]}?)" if near else ""
    own = ", ".join(f"{prefix}PATH" for prefix in OWN_PREFIXES)
    raise UserError(f"unknown dataset {name!r}{hint}; known: {', '.join(cards)}, or for one of your own {own}")


def card_named(name: str, given: Mapping[str, DatasetCard]) -> DatasetCard:
    """Return the card of a dataset that the user names, as ``find_card`` does.

    Raises:
        UserError: No card has this name; if it is a folder, the line says how to name folders.
    """
    try:
        return find_card(name, given)
    except UserError:
        with suppress(OSError, ValueError):  # not the name of a file
            if Path(name).is_dir():
                raise UserError(f"unknown dataset {name!r}; for this folder write {FOLDER_PREFIX}{name}") from None
        raise

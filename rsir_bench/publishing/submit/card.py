"""The card of a submission: ``submission.toml``."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path
from typing import Annotated, Literal

import pydantic

from rsir_bench.base.errors import UserError
from rsir_bench.base.text import LONGEST_LINE, is_plain_line
from rsir_bench.base.toml import read_toml
from rsir_bench.publishing.submit.files import plain_file

CARD = "submission.toml"
LARGEST_CARD = 200_000
SEEDS = (1, 5)
"""How many seeds a line may have."""


def _plain(text: str) -> str:
    """Return a text that is shown in tables as it is: one line, which no spreadsheet takes for a formula."""
    if not is_plain_line(text) or not text.strip() or text != text.strip():
        raise ValueError(f"must be one line of at most {LONGEST_LINE} characters, without control characters")
    if text.startswith(("=", "+", "-", "@")):
        raise ValueError("must not begin like a formula")
    return text


def _name(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,59}", text):
        raise ValueError("must be letters, digits and . _ + -, at most 60")
    return text


def _page(text: str) -> str:
    if text and not re.fullmatch(r"https?://[\w.:/?&=%#~+,;@()-]{1,280}", text, re.ASCII):
        raise ValueError("must be an address that begins with https://")
    return text


Line = Annotated[str, pydantic.AfterValidator(_plain)]
Name = Annotated[str, pydantic.AfterValidator(_name)]
Page = Annotated[str, pydantic.AfterValidator(_page)]


class _Part(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)


class DescriptorsEntry(_Part):
    """One file of descriptors.

    Attributes:
        file: Its name in the folder.
        target: The dataset whose scenes it names.
        fingerprint: Of the scenes that were described, as ``rsir-bench datasets verify`` prints it.
        seed: The number of the training.
        row: What the tables call this kind of descriptor.
        kind: ``"real"`` or ``"code"``.
        bits: The length of packed codes.
    """

    file: str
    target: str
    fingerprint: str = pydantic.Field(pattern="^[0-9a-f]{64}$")
    seed: int = pydantic.Field(default=0, ge=0, lt=2**31)
    row: Line = pydantic.Field(default="Embedding", max_length=40)
    kind: Literal["real", "code"] = "real"
    bits: int | None = pydantic.Field(default=None, ge=1, le=2**16)

    @pydantic.model_validator(mode="after")
    def _bits_of_codes(self) -> DescriptorsEntry:
        if self.bits is not None and self.kind != "code":
            raise ValueError("bits: only codes have bits")
        return self


class _Card(_Part):
    by: Line
    made_on: Line
    url: Page = ""


class DescriptorsCard(_Card):
    """The card of submitted descriptors.

    Attributes:
        name: What the board calls the method, behind ``submitted:``.
        title: Its title in tables.
        protocol: The protocol whose board it enters.
        training: How the descriptors were made, in a sentence.
        by: Who submits it.
        made_on: On what they were made, and where.
        url: A page about it.
        descriptors: The files.
    """

    kind: Literal["descriptors"]
    name: Name
    title: Line = pydantic.Field(max_length=60)
    protocol: Name
    training: Line
    descriptors: tuple[DescriptorsEntry, ...] = pydantic.Field(min_length=1, max_length=1000)

    @pydantic.model_validator(mode="after")
    def _seeds(self) -> DescriptorsCard:
        seeds: dict[tuple[str, str], list[int]] = defaultdict(list)
        for entry in self.descriptors:
            seeds[entry.row, entry.target].append(entry.seed)
        for (row, target), found in seeds.items():
            if len(set(found)) < len(found):
                raise ValueError(f"row {row} on {target}: a seed is listed twice")
            if len(found) not in SEEDS:
                raise ValueError(f"row {row} on {target}: {len(found)} seeds; give one or five")
        return self


class RecordsCard(_Card):
    """The card of records that runs elsewhere have made; see ``DescriptorsCard``."""

    kind: Literal["records"]


def read_card(folder: Path) -> DescriptorsCard | RecordsCard:
    """Return the checked card of a submission.

    Raises:
        UserError: There is none, or it is not valid: one line names the field.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; name one that holds {CARD}")
    path = plain_file(folder, CARD, LARGEST_CARD)
    adapter: pydantic.TypeAdapter[DescriptorsCard | RecordsCard] = pydantic.TypeAdapter(
        Annotated[DescriptorsCard | RecordsCard, pydantic.Field(discriminator="kind")]
    )
    try:
        return adapter.validate_python(read_toml(path))
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"][1:]) or "kind"  # the first part is the kind itself
        why = "unknown; remove it" if first["type"] == "extra_forbidden" else " ".join(first["msg"].split())
        raise UserError(f"{path}: {' '.join(where.split()):.80}: {why:.200}") from None
    except (ValueError, OSError) as error:
        raise UserError(f"{path}: not valid TOML ({' '.join(str(error).split()):.200})") from None

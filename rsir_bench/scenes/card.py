"""Dataset cards: name, classes and source of a dataset, one TOML file each."""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import Annotated, Any

import pydantic

from rsir_bench.base.errors import UserError
from rsir_bench.base.toml import parse_toml

OF_SCENES = (
    *("ground_resolution", "pixels", "bands", "rgb", "value_range", "folders", "classes", "defects"),
    *("download", "generator", "source"),
)
"""The fields that a card inherits from the card of ``scenes_of``, unless it sets them."""


EditionName = Annotated[str, pydantic.StringConstraints(pattern="^[a-z0-9][a-z0-9-]*$", max_length=32)]
Fingerprint = Annotated[str, pydantic.StringConstraints(pattern="^[0-9a-f]{64}$")]


class SceneClass(pydantic.BaseModel, frozen=True, extra="forbid"):
    """One class: its name in the paper's words, its number of scenes, other names of its folder."""

    name: str = pydantic.Field(min_length=1)
    scenes: int = pydantic.Field(gt=0)
    folders: tuple[str, ...] = ()

    @property
    def keys(self) -> tuple[str, ...]:
        """The folder names that mean this class, in the form that ``folder_key`` gives."""
        return tuple(folder_key(name) for name in (self.name, *self.folders))


class Download(pydantic.BaseModel, frozen=True, extra="forbid"):
    """Where the archive comes from: a pinned address, or words on how to get it by hand."""

    url: str | None = None
    md5: str | None = pydantic.Field(default=None, pattern="^[0-9a-f]{32}$")
    sha256: str | None = pydantic.Field(default=None, pattern="^[0-9a-f]{64}$")
    size: int | None = pydantic.Field(default=None, gt=0)
    by_hand: str | None = None

    @pydantic.model_validator(mode="after")
    def _one_way(self) -> Download:
        if (self.url is None) == (self.by_hand is None):
            raise ValueError("give either url or by_hand")
        return self

    @property
    def known_hash(self) -> str | None:
        """The hash in the form ``algorithm:digest``, or None if the source has no lasting one."""
        if self.sha256:
            return f"sha256:{self.sha256}"
        return f"md5:{self.md5}" if self.md5 else None


class CardLabels(pydantic.BaseModel, frozen=True, extra="forbid"):
    """The labels of scenes that have several.

    Attributes:
        files: Names of the file that says which scene has which, looked for in the dataset's folder and in the folders
            above it up to the data root.
        by_hand: How to get that file, in words.
        names: The labels; empty: those of the file.
        scenes: How many scenes have labels, where that is not all.
    """

    files: tuple[str, ...] = pydantic.Field(min_length=1)
    by_hand: str
    names: tuple[str, ...] = ()
    scenes: int | None = pydantic.Field(default=None, gt=0)

    @pydantic.model_validator(mode="after")
    def _told_apart(self) -> CardLabels:
        if len({folder_key(name) for name in self.names}) < len(self.names):
            raise ValueError("two labels have the same name")
        return self


class Generator(pydantic.BaseModel, frozen=True, extra="forbid"):
    """The function ``module:name`` that writes a synthetic dataset: ``function(folder, **arguments)``."""

    function: str = pydantic.Field(pattern=r"^[\w.]+:\w+$")
    arguments: dict[str, Any] = {}


class DatasetCard(pydantic.BaseModel, frozen=True, extra="forbid"):
    """One dataset.

    Attributes:
        name: What the command line calls it.
        title: Its full name.
        paper_name: Its name in the tables of the JSST paper, None if it is in none.
        pixels: Side of a scene in the original archive.
        bands: Bands of a scene; 3 for anything that Pillow turns into RGB.
        rgb: Indices of the bands red, green and blue.
        band_names: The names of the bands, as encoders that were made for several ask for them; empty: RGB only.
        value_range: The pixel values that become 0 and 255 where pixels are not 8-bit; None: all of the integer type.
        folders: Names of its folder under the data root (found at any nesting), the most specific first.
        classes: In the order of the labels. None: the scenes have labels, and their folders do not matter.
        defects: Known faults of the original.
        generator: Set for synthetic datasets, which are generated when first used.
        scenes_of: The dataset whose scenes these are; what this card leaves out is said by that one's.
        labels: Of scenes that have several labels; the classes are then folders only.
        editions: The fingerprints of its known editions, by name.
    """

    name: str = pydantic.Field(pattern="^[a-z0-9][a-z0-9-]*$")
    title: str
    paper_name: str | None = None
    description: str
    citation: str
    licence: str
    source: str
    ground_resolution: str
    pixels: int = pydantic.Field(gt=0)
    bands: int = pydantic.Field(default=3, gt=0)
    rgb: tuple[int, int, int] = (0, 1, 2)
    band_names: tuple[str, ...] = ()
    value_range: tuple[float, float] | None = None
    folders: tuple[str, ...] = pydantic.Field(min_length=1)
    classes: tuple[SceneClass, ...] = ()
    download: Download | None = None
    defects: tuple[str, ...] = ()
    generator: Generator | None = None
    scenes_of: str | None = None
    labels: CardLabels | None = None
    editions: dict[EditionName, Fingerprint] = {}

    @pydantic.model_validator(mode="after")
    def _consistent(self) -> DatasetCard:
        if not all(0 <= band < self.bands for band in self.rgb):
            raise ValueError(f"rgb {list(self.rgb)} names a band outside 0..{self.bands - 1}")
        if len(set(map(str.upper, self.band_names))) not in (0, self.bands):
            raise ValueError(f"band_names must be {self.bands} different names")
        if self.value_range is not None and self.value_range[0] >= self.value_range[1]:
            raise ValueError("value_range must rise")
        if len({*self.editions.values()}) < len(self.editions):
            raise ValueError("two editions have the same fingerprint")
        if (self.download is None) == (self.generator is None):
            raise ValueError("give either download or generator")
        if len(self.classes) < 2 and (self.classes or self.labels is None):
            raise ValueError("give two classes or more, or labels for scenes that have several")
        owners: dict[str, str] = {}
        for scene_class in self.classes:
            for key in set(scene_class.keys):
                if owner := owners.get(key):
                    raise ValueError(f"the folder name {key} means both {owner!r} and {scene_class.name!r}")
                owners[key] = scene_class.name
        return self

    @property
    def scenes(self) -> int:
        """The number of scenes, or of those that have labels; 0 where the card does not say."""
        if self.labels is not None and self.labels.scenes is not None:
            return self.labels.scenes
        return sum(entry.scenes for entry in self.classes)

    def edition(self, fingerprint: str) -> str:
        """Return the name of the edition with a fingerprint; empty if the card does not know it."""
        return next((name for name, known in self.editions.items() if known == fingerprint), "")

    @property
    def class_of_folder(self) -> dict[str, str]:
        """The class name of each ``folder_key``."""
        return {key: scene_class.name for scene_class in self.classes for key in scene_class.keys}


def folder_key(folder: str) -> str:
    """Return a folder name without case, spaces, ``_`` and ``-``: copies in the wild differ in these."""
    return folder.casefold().translate({ord(mark): None for mark in " _-"})


def parse_card(text: str, file_name: str, *, any_name: bool = False) -> DatasetCard:
    """Return the validated card of a TOML text; ``scenes_of`` fills in what it leaves out.

    Args:
        text: The text.
        file_name: The name of its file, for messages.
        any_name: Whether the file may be called otherwise than the dataset.

    Raises:
        UserError: One line that names the file and the field.
    """
    try:
        values = parse_toml(text)
        card = DatasetCard.model_validate(_of_scenes(values.get("scenes_of"), file_name) | values)
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "card"
        why = "unknown; remove it" if first["type"] == "extra_forbidden" else first["msg"]
        raise UserError(f"dataset card {file_name}: {' '.join(field.split())}: {why}") from error
    except ValueError as error:
        raise UserError(f"dataset card {file_name}: not valid TOML: {error}") from error
    if not any_name and file_name != f"{card.name}.toml":
        raise UserError(f"dataset card {file_name}: name: {card.name!r}, the file must be called {card.name}.toml")
    return card


def _of_scenes(name: Any, file_name: str) -> dict[str, Any]:
    """Return the fields that a card inherits from the card named by ``scenes_of``; empty for None."""
    if name is None:
        return {}
    base = resources.files("rsir_bench.datasets") / f"{name}.toml"
    if not base.is_file():
        raise UserError(f"dataset card {file_name}: scenes_of: no installed dataset is called {name!r}")
    values = parse_toml(base.read_text(encoding="utf-8"))
    return {field: value for field, value in values.items() if field in OF_SCENES}


@cache
def load_cards() -> dict[str, DatasetCard]:
    """Return all cards of the package ``rsir_bench.datasets``, by name and in the order of the names.

    Raises:
        UserError: A card is not valid; the line names the file and the field.
    """
    files = [file for file in resources.files("rsir_bench.datasets").iterdir() if file.name.endswith(".toml")]
    cards = (parse_card(file.read_text(encoding="utf-8"), file.name) for file in sorted(files, key=lambda f: f.name))
    return {card.name: card for card in cards}


def edition_name(dataset: str, fingerprint: str) -> str:
    """Return the name of an edition of a dataset: from the card, or the first 8 digits of its fingerprint."""
    card = load_cards().get(dataset)
    return (card.edition(fingerprint) if card else "") or fingerprint[:8]

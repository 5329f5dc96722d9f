"""The parameters of a run, shared by the command line and ``rsir_bench.run``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import MISSING, dataclass, field, fields, replace
from pathlib import Path
from typing import Any


def _parameter(description: str, default: Any = MISSING) -> Any:
    return field(default=default, metadata={"description": description})


@dataclass(frozen=True)
class Request:
    """The user's request for a campaign, before anything is resolved. ``DESCRIPTIONS`` describes each parameter."""

    methods: Sequence[str] = _parameter("Methods: NAME, FRONT+NAME, timm:NAME or timm:NAME@FILE; or all.")
    targets: Sequence[str] = _parameter(
        "Datasets to score on; folder:, parquet: or tar:PATH; all: the protocol's.", ("all",)
    )
    protocol: str = _parameter("A shipped protocol's name, or a TOML file.", "patternnet")
    seeds: Sequence[int] = _parameter("Seeds, whole numbers from 0; one training each.", (0,))
    data_root: Path = _parameter("Folder that holds the datasets.", Path("data"))
    device: str = _parameter("auto, cpu, cuda, cuda:N or mps.", "cpu")
    out: Path = _parameter("Folder of the runs.", Path("runs"))
    overrides: Sequence[str] = _parameter("Change a setting: section.key=value.", ())
    plugins: Sequence[Path] = _parameter("A .py file with methods or post-processing.", ())
    distortions: Sequence[str] = _parameter("Also score distorted targets: NAME:SEVERITY or NAME; or all.", ())
    after: Sequence[str] = _parameter("Also post-process rankings: NAME or NAME:VALUES, as in aqe:10,3.", ())
    cards: Sequence[Path] = _parameter("A .toml file: a dataset's card, or dataset.toml for folder: and the like.", ())
    published: Path | None = _parameter("Folder of published records to skip.", None)
    fresh: bool = _parameter("Recompute every result, after removing these runs from --out.", False)
    compile: bool = _parameter("Compile the training step with torch.compile: starts later, runs faster.", False)
    time_limit: float | None = _parameter("Stop each run, in a separate process, after this many minutes.", None)

    def __post_init__(self) -> None:
        """Convert paths given as text, and single names, paths or numbers to lists of one."""
        for name in ("methods", "targets", "overrides", "plugins", "distortions", "cards", "seeds"):
            if isinstance(value := getattr(self, name), (str, Path, int)):
                object.__setattr__(self, name, (value,))
        object.__setattr__(self, "data_root", Path(self.data_root))
        object.__setattr__(self, "out", Path(self.out))
        object.__setattr__(self, "after", (self.after,) if isinstance(self.after, str) else tuple(self.after))
        object.__setattr__(self, "plugins", tuple(map(Path, self.plugins)))
        object.__setattr__(self, "cards", tuple(map(Path, self.cards)))
        object.__setattr__(self, "published", None if self.published is None else Path(self.published))

    @property
    def weights_folders(self) -> tuple[Path, ...]:
        """The folders that are searched for files of weights."""
        return (self.data_root / "weights", self.data_root.parent / "weights")

    def restricted_to(self, method: str, parts: Sequence[str]) -> Request:
        """Return the part of the request that concerns one method.

        Args:
            method: The method as the user named it.
            parts: The names of its classes; overrides of other methods' settings are left out.
        """
        kept = [override for override in self.overrides if overridden_method(override) in (None, *parts)]
        return replace(self, methods=[method], overrides=kept)


@dataclass(frozen=True)
class UserFiles:
    """The user's files that are needed to read runs: see ``DESCRIPTIONS``.

    Attributes:
        data_root: The folder of the datasets.
        plugins: Plugin files with the methods of the runs.
        cards: Cards of datasets, or settings of ``folder:``.
        protocol: The user's own protocol file, for records of this protocol.
    """

    data_root: Path = Path("data")
    plugins: Sequence[Path] = ()
    cards: Sequence[Path] = ()
    protocol: str | None = None


DESCRIPTIONS: dict[str, str] = {entry.name: entry.metadata["description"] for entry in fields(Request)}
"""The description of each parameter, in one sentence, by name."""


def overridden_method(override: str) -> str | None:
    """Return the method whose setting ``methods.NAME.key=value`` changes; None for a setting of the protocol."""
    section, *rest = override.partition("=")[0].split(".")
    return rest[0] if section == "methods" and rest else None

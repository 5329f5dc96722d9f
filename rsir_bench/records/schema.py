"""Result records: one JSON file per result, the truth from which every table is rendered."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

RECORD_SCHEMA = 1

# Of a record's environment: speeds are compared only where all of these are the same.
ENVIRONMENT = ("device", "threads", "precision")


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PaperRow(_Part):
    """The published row that a row of ours stands beside (columns of ``paper_tables.csv``)."""

    method: str
    variant: str = ""
    pooling: str


class MethodPart(_Part):
    """The method of a record; ``label`` is the name with every setting that is not the protocol's."""

    name: str
    label: str
    title: str
    version: int
    settings: dict[str, Any]
    source_sha256: str


class RowPart(_Part):
    """The row: which descriptor, how it was reduced, and on which dataset a PCA was fitted."""

    name: str
    descriptor: str
    kind: Literal["real", "pca", "code"]
    dimensions: int
    fit: Literal["source", "target"] | None = None
    paper: PaperRow | None = None


class ProtocolPart(_Part):
    """The protocol: its hash, whether it is a shipped one unmodified, and every setting."""

    name: str
    hash: str
    board: str
    modified: bool
    paper: bool
    overrides: list[str]
    settings: dict[str, Any]


class SourcePart(_Part):
    """What was trained on; None stands in its place for an untrained method."""

    name: str
    fingerprint: str
    scenes: int


class TargetPart(_Part):
    """What was scored on; ``scenes`` are those that count, without the ``excluded`` duplicates of source scenes."""

    name: str
    title: str
    paper_name: str | None
    fingerprint: str
    scenes: int
    classes: int
    excluded: int = 0


class PixelsPart(_Part):
    """How the files of the target became what the network computed with.

    Attributes:
        size: Side of the square that the whole scene is resized to, without a crop.
        filter: Pillow's filter.
        antialias: Whether the filter widens where it shrinks.
        bands: Indices of the bands, in the order of the network's input.
        value_range: The pixel values that became 0 and 1 where pixels are not 8-bit; None: all of the integer type.
        mean: Per band, on [0, 1]; subtracted by the trunk.
        std: Likewise; divided by.
        decoders: Versions of the libraries that decoded the files.
    """

    size: int
    filter: str
    antialias: bool
    bands: list[int]
    value_range: tuple[float, float] | None
    mean: list[float] | None
    std: list[float] | None
    decoders: dict[str, str]


class DistortionPart(_Part):
    """What the target's scenes were put through; see :mod:`rsir_bench.scenes.distortions`."""

    name: str
    severity: int
    version: int


class QueriesPart(_Part):
    """How many scenes were queries, how many had no positive, how many vectors were constant."""

    count: int
    skipped: int
    constant: int


class AcceptedPart(_Part):
    """A deliberate change: why this result took the place of another one in the baseline, and what that one was."""

    reason: str
    previous: dict[str, float]
    previous_key: str


class Record(_Part):
    """One result = run x row x target; ``accepted`` are the deliberate changes it went through, the oldest first."""

    schema_version: int = Field(RECORD_SCHEMA, ge=RECORD_SCHEMA, le=RECORD_SCHEMA)
    key: str
    method: MethodPart
    row: RowPart
    protocol: ProtocolPart
    seed: int
    source: SourcePart | None
    target: TargetPart
    pixels: PixelsPart | None = None
    distortion: DistortionPart | None = None
    metrics: dict[str, float]
    tie_bounds: dict[str, tuple[float, float]]
    metric_version: int
    per_class: dict[str, dict[str, float]]
    queries: QueriesPart
    weights: dict[str, str | None]
    cost: dict[str, float | None]
    environment: dict[str, str]
    command: str
    created: str
    accepted: tuple[AcceptedPart, ...] = ()

"""Result records: one JSON file per result; every table is rendered from them."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr

from rsir_bench.base.terminal.notebook import Tabular

RECORD_SCHEMA = 1

ENVIRONMENT = ("device", "threads", "precision")
"""Fields of a record's environment; speeds are compared only if all of them are equal."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PaperRow(_Part):
    """The published row that a row of ours is compared with (columns of ``paper_tables.csv``)."""

    method: str
    variant: str = ""
    pooling: str


class MethodPart(_Part):
    """The method of a record; ``label`` is the name with every setting that differs from the protocol.

    ``own_code`` is a digest of the code of plugins and of methods that are not as shipped; empty: all are as shipped.
    """

    name: str
    label: str
    title: str
    version: int
    settings: dict[str, Any]
    source_sha256: str
    own_code: str = ""


class RowPart(_Part):
    """The row: its descriptor, how that was reduced, and on which dataset a PCA was fitted."""

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
    """A dataset that was trained on; ``reading`` says how its files were read, if not as 8-bit red, green and blue."""

    name: str
    fingerprint: str
    scenes: int
    reading: str = ""


class TargetPart(_Part):
    """The dataset that was scored on; ``scenes`` does not include the ``excluded`` duplicates of source scenes.

    On a board with several editions of a dataset, each is a separate target with a different ``label``; see
    ``rsir_bench.records.editions``. No file stores the label: it depends on the other records of the board.
    """

    name: str
    title: str
    paper_name: str | None
    fingerprint: str
    scenes: int
    classes: int
    excluded: int = 0
    _edition: str = PrivateAttr("")
    _suite: int = PrivateAttr(0)
    _named: bool = PrivateAttr(False)

    def in_edition(self, edition: str, suite: int) -> TargetPart:
        """Return a copy of the target that is in an edition and a suite of a board."""
        copy = self.model_copy()
        copy._edition, copy._suite = edition, suite
        return copy

    def named_in_heading(self) -> TargetPart:
        """Return a copy of the target whose heading ends with its name: another target of the board has its title."""
        copy = self.model_copy()
        copy._named = True
        return copy

    @property
    def edition(self) -> str:
        """Its edition, in words; empty if the board has only one."""
        return self._edition

    @property
    def suite(self) -> int:
        """The number of its suite on a board."""
        return self._suite

    @property
    def label(self) -> str:
        """Its name on boards: ``"rsscn7"``, or ``"rsscn7 (original)"`` next to other editions."""
        return in_edition(self.name, self._edition)

    @property
    def heading(self) -> str:
        """Its title as boards print it; followed by its name where another target of the board has the same title."""
        return in_edition(f"{self.title}, {self.name}" if self._named else self.title, self._edition)


def in_edition(text: str, edition: str) -> str:
    """Return the name or title of a target with its edition, if given: ``"RSSCN7 (original)"``."""
    return f"{text} ({edition})" if edition else text


class PixelsPart(_Part):
    """How the files of the target became the network's input.

    Attributes:
        size: Side of the square that the whole scene is resized to, without a crop.
        filter: Pillow's filter.
        antialias: Whether the filter is widened when shrinking.
        bands: Indices of the bands, in the order of the network's input.
        value_range: The pixel values that became 0 and 1 if pixels are not 8-bit: from the card or the folder's
            settings, or else measured over the folder's scenes. None: 8 bits, or the range of the integer type of a
            dataset with a card.
        mean: Mean per band, on [0, 1], which the trunk subtracts.
        std: Standard deviation per band, by which the trunk divides.
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
    """The distortion of the target's scenes; see ``rsir_bench.scenes.distortions``."""

    name: str
    severity: int
    version: int


class QueriesPart(_Part):
    """The numbers of queries, of scenes without a positive, and of constant vectors or, newer, constant codes.

    ``by_class`` has the queries of each class of ``per_class``; it is empty in older records.
    """

    count: int
    skipped: int
    constant: int
    by_class: dict[str, int] = {}


class RequestFields(_Part):
    """The request that made a record, without the folders of the machine.

    Attributes:
        protocol: Its name, or the name of its TOML file.
        method: As ``--methods`` takes it.
        seed: The seed of the run.
        target: As the request named it: a dataset, or ``folder:PATH`` or the like.
        distortion: ``"haze:3"``; empty for undistorted scenes.
        overrides: Values of ``--set``.
        plugins: Names of the files of ``--plugin``.
        cards: Names of the files of ``--card``.
        after: ``"aqe:10,3"``; empty for rankings that are not post-processed.
    """

    protocol: str
    method: str
    seed: int
    target: str
    distortion: str = ""
    overrides: tuple[str, ...] = ()
    plugins: tuple[str, ...] = ()
    cards: tuple[str, ...] = ()
    after: str = ""


class EncoderPart(_Part):
    """The encoder behind a result, under a protocol that trains nothing; ``pixels`` has the rest of its input.

    Attributes:
        library: ``"timm"``, ``"hf"``, ``"open_clip"`` or ``"torchgeo"``.
        model: The library's name for the model, with the tag that selects its configuration.
        weights: ``"none"``, or ``"tensors:"`` and the digest of the tensors that are used.
        pooling: How its last layer is pooled.
        fit: How a scene of any shape becomes a square: ``"squash"``, ``"crop"`` or ``"pad"``.
        crop: The share of the resized side that is kept.
        changed: The settings that differ from those of the weights.
    """

    library: str
    model: str
    weights: str
    pooling: str
    fit: Literal["squash", "crop", "pad"]
    crop: float = Field(gt=0, le=1)
    changed: list[str] = []


class AcceptedPart(_Part):
    """A deliberate change: why this result replaced an earlier one in the baseline, and the earlier values."""

    reason: str
    previous: dict[str, float]
    previous_key: str


class EffectPart(_Part):
    """The effect of a method's front end on the target's scenes, and the row's scores without it.

    Attributes:
        metrics: The scores with the front end switched off: same network and components, scenes described without it.
        displacement: Mean distance in pixels by which the front end moves the content of a scene; None: not defined.
        change: Mean absolute change of values at the same pixel, in units of the network's input from 0 to 1, before
            its normalisation.
        lost: Number of scenes whose content is lost: blank, out of the frame, or far out of range.
    """

    metrics: dict[str, float]
    displacement: float | None
    change: float
    lost: int = 0


class GradedPart(_Part):
    """The part of a record that replaces classes if scenes have several labels.

    Attributes:
        labels: The labels.
        chance: Metric name -> mean over all orders of the gallery.
        oracle: Metric name -> value of the gallery ranked by the relevance that the metric uses; no value exceeds it.
        without: Metric name -> number of queries without a relevant scene, which the means exclude.
        per_label: Label -> metric name -> mean over the queries that have the label.
        label_chance: Label -> metric name -> chance of the same queries.
        label_oracle: Label -> metric name -> oracle of the same queries.
    """

    labels: tuple[str, ...] = Field(min_length=2)
    chance: dict[str, float]
    oracle: dict[str, float]
    without: dict[str, int]
    per_label: dict[str, dict[str, float]]
    label_chance: dict[str, dict[str, float]]
    label_oracle: dict[str, dict[str, float]]


class AfterPart(_Part):
    """How rankings were post-processed; plain rankings have None instead.

    Attributes:
        name: ``"aqe:10,3"``, as ``--after`` takes it.
        values: Its values by name.
        label: The name in tables: ``"aQE 10,3 (transductive)"``.
        version: The version of its definition.
        transductive: Whether the score of a query and a scene depends on other scenes of the gallery.
        own_code: Digest of the code of the user's file that defines it; empty for shipped kinds.
    """

    name: str
    values: dict[str, int | float]
    label: str
    version: int
    transductive: bool
    own_code: str = ""


class OriginPart(_Part):
    """Who made a result elsewhere, and how far it was reproduced here. Results that were made here have None instead.

    Attributes:
        kind: ``"descriptors"``: scored here, from submitted descriptors. ``"record"``: made by a run of rsir-bench
            elsewhere.
        by: Who submitted it.
        made_on: Where it was made, in their words.
        url: A page about it; empty: none.
        training: How the descriptors were made, in their words; empty for ``"record"``, which contains this itself.
        sha256: Hash of the submitted file of descriptors; empty for ``"record"``, which has the hash of its weights.
        remade: When and on which machine its descriptors were recomputed from the network, and how far the scores
            differed; empty: they were not recomputed.
    """

    kind: Literal["descriptors", "record"]
    by: str
    made_on: str
    url: str = ""
    training: str = ""
    sha256: str = ""
    remade: str = ""


class Record(Tabular, _Part):
    """One result = run x row x target; ``accepted`` lists its deliberate changes, the oldest first.

    ``doubts`` has reasons why the metrics may not measure retrieval: equal descriptors, chance, a collapsed front end.
    ``source`` is None for an untrained method. ``unlabelled`` is the pool of a method that also learns from unlabelled
    scenes; it is None in older records. ``effect`` is None without a front end, on distorted scenes, and in older
    records. ``origin`` is None for results that were made here. ``encoder`` is None under a protocol that trains.
    ``graded`` is None if each scene has one label; otherwise there are no values by class. ``after`` is None for plain
    rankings; other records also have ``cost["after_seconds"]``, the processor time of post-processing.
    """

    schema_version: int = Field(RECORD_SCHEMA, ge=RECORD_SCHEMA, le=RECORD_SCHEMA)
    key: str
    method: MethodPart
    row: RowPart
    protocol: ProtocolPart
    seed: int
    source: SourcePart | None
    unlabelled: SourcePart | None = None
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
    request: RequestFields | None = None
    created: str
    accepted: tuple[AcceptedPart, ...] = ()
    doubts: tuple[str, ...] = ()
    effect: EffectPart | None = None
    origin: OriginPart | None = None
    encoder: EncoderPart | None = None
    graded: GradedPart | None = None
    after: AfterPart | None = None

    def __str__(self) -> str:
        return repr(self)

    def _title(self) -> str:
        under = f" under {self.distortion.name}:{self.distortion.severity}" if self.distortion else ""
        line = f"{self.method.label} {self.row.name} on {self.target.label}{under}"
        return f"{line}, seed {self.seed}, board {self.protocol.board}"

    def _rows(self) -> dict[str, dict[str, float]]:
        if self.graded is None:
            return {"all queries": self.metrics, **self.per_class}
        return {"all queries": self.metrics, "chance": self.graded.chance, "oracle": self.graded.oracle}

"""A protocol, which fixes source, targets, training and scoring: a validated TOML file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidatorFunctionWrapHandler,
    field_serializer,
    field_validator,
    model_validator,
)

from rsir_bench.base.files import digest


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def _as_word(precision: Any) -> Any:
    """Return ``"32"`` for the number 32, which TOML and the command line also allow."""
    return str(precision) if precision == 32 else precision


class Data(_Section):
    """The scenes, and how they become pixels."""

    source: str | None = Field(
        default=None,
        description="Dataset to train on: a name, or folder:, parquet: or tar:PATH; without it, nothing is trained.",
    )
    targets: list[str] = Field(min_length=1, description="The datasets to score on.")
    unlabelled: str | None = Field(
        default=None, description="A dataset used without its labels, for methods that learn from unlabelled scenes."
    )
    size: int | None = Field(
        default=None, ge=16, le=8192, description="Side of the square scene in pixels after the direct resize."
    )
    resize: Literal["bilinear", "bicubic", "lanczos", "nearest"] = Field(
        default="bilinear", description="The filter of the resize."
    )
    antialias: bool = Field(default=True, description="Whether the filter is widened when shrinking, as in Pillow.")
    bands: Literal["rgb", "all"] = Field(default="rgb", description="The bands that a method sees.")
    leaked: Literal["keep", "drop"] = Field(
        default="keep", description="'drop': target scenes with a duplicate in the source are not scored."
    )

    @model_validator(mode="after")
    def _antialias_fits(self) -> Data:
        if not self.antialias and self.resize not in ("bilinear", "bicubic"):
            raise ValueError(f"antialias = false requires bilinear or bicubic, not {self.resize}")
        return self


class Trunk(_Section):
    """The backbone: any timm model, its initial weights, and its frozen parts."""

    name: str = Field(description="A model of timm.")
    title: str | None = Field(default=None, description="Its name in tables; by default the timm name.")
    weights: str = Field(default="imagenet", description="'imagenet' (timm's own), 'none', or a file of weights.")
    sha256: str | None = Field(default=None, description="Expected hash of the file of weights.")
    arguments: dict[str, Any] = Field(default={}, description="Passed to timm.create_model.")
    frozen: list[str] = Field(default=[], description="Names of submodules, e.g. 'layer1' or 'blocks.0'.")
    mean: list[float] | None = Field(default=None, description="Mean per band, on [0, 1]; None: that of the weights.")
    std: list[Annotated[float, Field(gt=0)]] | None = Field(default=None, description="Standard deviation, like mean.")

    @field_validator("arguments")
    @classmethod
    def _leaves_the_shape_alone(cls, value: dict[str, Any]) -> dict[str, Any]:
        for name in {"num_classes", "in_chans", "pretrained"} & set(value):
            raise ValueError(f"{name} is derived from the scenes and from trunk.weights; remove it")
        return value


class Head(_Section):
    """The fully connected head of the paper's Fig. 2."""

    fc1: int = Field(default=4096, ge=1, description="Width of its hidden layer.")


# Settings of training that change nothing without another one.
GOES_WITH = {
    "milestones": ("schedule", "steps"),
    "decay": ("schedule", "steps"),
    "warmup": ("schedule", "one-cycle"),
    "momentum": ("optimizer", "sgd"),
    "nesterov": ("optimizer", "sgd"),
}


class Train(_Section):
    """The optimizer, the schedule and the augmentation of a training."""

    epochs: int = Field(ge=1, description="Passes over the source.")
    batch: int = Field(default=64, ge=2, description="Scenes per step.")
    optimizer: Literal["sgd", "adam"] = Field(default="sgd", description="The optimizer.")
    rate: float = Field(gt=0, allow_inf_nan=False, description="The highest learning rate.")
    momentum: float = Field(default=0.9, ge=0, lt=1, description="'sgd': the momentum.")
    nesterov: bool = Field(default=False, description="'sgd': Nesterov's momentum.")
    weight_decay: float = Field(default=1e-4, ge=0, description="Factor of the L2 penalty on weights.")
    schedule: Literal["steps", "one-cycle"] = Field(
        default="steps", description="The learning rate drops at milestones, or rises and falls once."
    )
    milestones: list[int] = Field(default=[], description="'steps': epochs (from 1) at which the rate drops.")
    decay: float = Field(default=0.1, gt=0, le=1, description="'steps': factor at each milestone.")
    warmup: float = Field(
        default=0.3, gt=0, lt=1, description="'one-cycle': fraction of the training in which the rate rises."
    )
    flip: bool = Field(default=False, description="Random horizontal and vertical flips.")
    distort: float = Field(
        default=0.0, ge=0, le=1, description="Strength of random distortions: gain, offset, scale, shift, rotation."
    )
    precision: Literal["32", "bf16", "auto"] = Field(
        default="32", description="'auto': bf16 if the device supports it natively, else 32 bit."
    )

    @field_validator("precision", mode="before")
    @classmethod
    def _bits(cls, value: Any) -> Any:
        return _as_word(value)

    @model_validator(mode="after")
    def _schedule_fits(self) -> Train:
        for name, (other, value) in GOES_WITH.items():
            usual = Train.model_fields[name].default  # a default is allowed everywhere, as in the dump of a protocol
            if getattr(self, other) != value and getattr(self, name) != usual:
                raise ValueError(f"{name} has no effect without {other} = {value!r}; leave it at {usual}")
        rising = self.milestones == sorted(set(self.milestones))
        if any(not 1 < epoch <= self.epochs for epoch in self.milestones) or not rising:
            raise ValueError(f"milestones must rise within 2..{self.epochs}")
        if self.nesterov and not self.momentum:
            raise ValueError("nesterov needs a momentum above 0")
        return self


class Describe(_Section):
    """How descriptors are computed and reduced."""

    precision: Literal["32", "bf16"] = Field(default="32", description="The precision of describing.")
    pca: int = Field(default=128, ge=1, description="Dimensions of every PCA row.")
    pca_fit: list[Literal["source", "target"]] = Field(
        default=["source"], min_length=1, description="The scenes that the principal components are fitted on."
    )

    @field_validator("precision", mode="before")
    @classmethod
    def _bits(cls, value: Any) -> Any:
        return _as_word(value)

    @field_validator("pca_fit")
    @classmethod
    def _once_each(cls, value: list[str]) -> list[str]:
        if len(set(value)) < len(value):
            raise ValueError("names a dataset twice")
        return sorted(value)


class Score(_Section):
    """The scoring of rankings."""

    similarity: Literal["pearson", "cosine", "inner product", "euclidean"] = Field(
        default="pearson", description="Similarity of two descriptors; codes always use the Hamming distance."
    )
    queries: Literal["all", "fifth"] = Field(
        default="all", description="'fifth': floor(20 %) of each class, as in the paper."
    )
    query_seed: int = Field(default=0, description="'fifth': the seed that selects them.")

    @model_validator(mode="after")
    def _seed_counts(self) -> Score:
        if self.query_seed and self.queries == "all":
            raise ValueError("query_seed has no effect without queries = 'fifth'; leave it at 0")
        return self


NOTHING: Any = None
"""The trunk and the training of a protocol that does not train; nothing reads them."""


class Protocol(_Section):
    """One protocol; see ``rsir_bench/protocol/*.toml`` for the shipped ones.

    A protocol without a source does not train: it has no size, trunk or training either (trunk and training are None),
    and scores encoders, each with its own preprocessing.
    """

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$", description="Name of the leaderboard.")
    title: str = Field(description="A description in one line.")
    paper: bool = Field(
        default=False, description="Whether the paper's values are comparable with this protocol, unmodified."
    )
    data: Data
    trunk: Trunk = Field(default=NOTHING)
    head: Head = Head()
    train: Train = Field(default=NOTHING)
    describe: Describe = Describe()
    score: Score = Score()
    methods: dict[str, dict[str, Any]] = Field(default={}, description="Settings of methods, by name.")

    @field_validator("methods")
    @classmethod
    def _lower(cls, value: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        return {name: dict(settings) for name, settings in sorted(value.items())}

    @field_validator("trunk", "train", mode="wrap")
    @classmethod
    def _read_or_none(cls, value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
        return None if value is None else handler(value)

    @field_serializer("trunk", "train", mode="wrap")
    def _written_or_none(self, value: _Section | None, handler: SerializerFunctionWrapHandler) -> Any:
        return None if value is None else handler(value)

    @model_validator(mode="after")
    def _trains_or_not(self) -> Protocol:
        needed: dict[str, Any] = {"data.source": self.data.source, "data.size": self.data.size}
        needed |= {"trunk": self.trunk, "train": self.train}
        given = [name for name, value in needed.items() if value is not None]
        if self.trains:
            if missing := [name for name in needed if name not in given]:
                raise ValueError(f"{missing[0]} is missing; a protocol with data.source needs it")
            return self
        others = {"data": Data(targets=self.data.targets), "head": Head(), "describe": Describe()}
        for section, usual in others.items():
            changed = getattr(self, section).model_dump(exclude_defaults=True, exclude={"targets", "size"})
            given += [f"{section}.{name}" for name in changed if changed[name] != getattr(usual, name)]
        if given:
            why = "without data.source nothing is trained, and every encoder has its own input"
            raise ValueError(f"{given[0]} has no effect: {why} (timm:NAME:size=224 sets it for one encoder)")
        return self

    @property
    def trains(self) -> bool:
        """Whether methods are trained, on ``data.source``; otherwise encoders are scored without training."""
        return self.data.source is not None

    @property
    def source(self) -> str:
        """``data.source`` of a protocol that trains."""
        assert self.data.source is not None
        return self.data.source

    @property
    def size(self) -> int:
        """``data.size`` of a protocol that trains."""
        assert self.data.size is not None
        return self.data.size

    @property
    def precision(self) -> str:
        """The precision of training; without training, the precision of describing, 32 bit."""
        return self.train.precision if self.trains else "32"

    def settings(self) -> dict[str, Any]:
        """Return every setting that changes results: all except texts, targets and settings of methods."""
        return self._settings(exclude_defaults=False)

    def identity(self) -> dict[str, Any]:
        """Return ``settings`` without defaults.

        A new setting whose default keeps the old behaviour therefore does not change the hash or the resume key. A new
        default that changes results must raise ``TRAINING_VERSION`` or ``DESCRIBING_VERSION``.
        """
        return self._settings(exclude_defaults=True)

    def _settings(self, *, exclude_defaults: bool) -> dict[str, Any]:
        left_out = {"name": True, "title": True, "paper": True, "methods": True}
        nested = {"data": {"targets"}, "trunk": {"title"}}
        settings = self.model_dump(mode="json", exclude={**left_out, **nested}, exclude_defaults=exclude_defaults)
        if not self.trains:
            return {name: value for name, value in settings.items() if value is not None}
        if "weights" in settings["trunk"]:  # the folder differs between machines; the run's key holds the file's hash
            settings["trunk"]["weights"] = Path(settings["trunk"]["weights"]).name
        return settings

    @property
    def hash(self) -> str:
        """Twelve hex digits of the hash of ``identity``."""
        return digest(self.identity())[:12]

"""The base class of methods that are an encoder, and how a run finds and names one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

from torch import Tensor, nn
from typing_extensions import TypeVar

from rsir_bench.base.errors import UserError
from rsir_bench.encoders.facts import EncoderFacts, build_encoder, find_facts
from rsir_bench.encoders.settings import AS_THE_WEIGHTS, EncoderSettings, read_name
from rsir_bench.method import Batch, Method, Row, Setup
from rsir_bench.method.composition import Composed
from rsir_bench.method.spec import MethodSpec

EncoderSettingsT = TypeVar("EncoderSettingsT", bound=EncoderSettings, default=EncoderSettings)


class EncoderMethod(Method[EncoderSettingsT]):
    """An encoder of one library, without training. Subclasses set ``card`` and ``library``.

    Args:
        setup: What the network is built for; its protocol trains nothing.
        settings: An instance of the class's ``Settings``.
    """

    library: ClassVar[str]
    sees_protocols_scenes: ClassVar[bool] = False
    """Whether it also takes part in protocols that train others, at their size."""
    Settings = EncoderSettings
    ROWS: ClassVar[dict[str, Row]] = {"Pooled": Row(descriptor="pooled")}
    """The row; a run calls it by its pooling."""

    def __init__(self, setup: Setup, settings: EncoderSettingsT) -> None:
        super().__init__(setup, settings)
        if setup.protocol.trains:
            raise UserError(f"{self.library}: describes scenes at the input size of its weights; use --protocol frozen")
        folders = setup.weights_folders
        self.encoder, self.facts = build_encoder(self.library, settings, setup.bands, setup.value_range, folders)

    @staticmethod
    def refuse_changes(setup: Setup, settings: EncoderSettings) -> None:
        """Refuse settings of the input under a protocol that trains: all its methods share its scenes.

        Raises:
            UserError: There is one.
        """
        for name in AS_THE_WEIGHTS:
            if getattr(settings, name) is not None:
                why = f"changes nothing under {setup.protocol.name}, whose methods share its scenes"
                raise UserError(f"{settings.model}: {name} {why}; omit it, or use --protocol frozen")

    @classmethod
    def parse_argument(cls, argument: str) -> dict[str, Any]:
        """Return the settings in ``MODEL@WEIGHTS:setting=value``."""
        return read_name(argument)

    def loss(self, batch: Batch) -> Tensor:
        """Raise an error for any batch, ``scenes`` (N, B, H, W) float32: an encoder is not trained.

        Raises:
            NotImplementedError: Always.
        """
        raise NotImplementedError("encoders are not trained")

    def describe(self, scenes: Tensor) -> dict[str, Tensor]:
        """Return the features ``pooled``, (N, D) float."""
        return {"pooled": self.encoder(scenes)}


def encoder_class(method: MethodSpec) -> type[EncoderMethod] | None:
    """Return the class of the encoder in a method, behind front ends where there are any; None if it is none."""
    kind, _ = _behind_front_ends(method)
    return kind if issubclass(kind, EncoderMethod) else None


def encoder_facts(method: MethodSpec, folders: Sequence[Path]) -> EncoderFacts:
    """Return what is known of the encoder in a method; it is built unless that is known already.

    Args:
        method: With an encoder.
        folders: Folders in which a file of weights is searched, after the path as given.

    Raises:
        UserError: It cannot be built; the line names what to do.
    """
    kind, settings = _behind_front_ends(method)
    assert issubclass(kind, EncoderMethod)
    return find_facts(kind.library, settings, folders)


def named_encoder(method: MethodSpec, facts: EncoderFacts) -> MethodSpec:
    """Return a method that is named by what its encoder is, and whose row is named by its pooling.

    Two requests for the same weights, one by a file and one from a hub, become the same method.
    """
    fronts = method.name.partition(":")[0].split("+")[:-1]
    (row,) = method.card.rows.values()
    card = method.card.model_copy(update={"rows": {facts.pooling: row}})
    kind = type("Encoder", (method.method_class,), {"card": card})
    of_encoder = f"{facts.library}."
    settings = {key: value for key, value in method.settings_dict.items() if not key.startswith(of_encoder)}
    return replace(
        method,
        name="+".join([*fronts, facts.name]),
        asked_as=method.name,
        method_class=kind,
        settings_dict=settings | facts.settings(),
        overridden={key: value for key, value in method.overridden.items() if not key.startswith(of_encoder)},
    )


def facts_in(network: nn.Module) -> EncoderFacts:
    """Return the facts about the encoder in a network, as it was built."""
    found = (part.facts for part in network.modules() if isinstance(part, EncoderMethod))
    return next(found)


def _behind_front_ends(method: MethodSpec) -> tuple[type[Method], Any]:
    kind, settings = method.method_class, method.settings
    while issubclass(kind, Composed):
        kind, settings = kind.inner_class, settings.inner
    return kind, settings

"""Old names of hooks and card fields, accepted for one more release."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any, ClassVar, Self

from pydantic import BaseModel, model_validator

HOOKS = {
    "across_ranks": "distributed_loss",
    "report": "epoch_metrics",
    "starts_from": "initial_weights",
    "view": "augment",
}
"""Old name of a hook -> its name."""


class RenamedHooks:
    """Base of classes whose hooks may still be written and called by their old names."""

    def __init_subclass__(cls, **arguments: Any) -> None:
        """Give each hook that the class defines both names, so that ``super()`` finds it by either."""
        super().__init_subclass__(**arguments)
        for old, new in HOOKS.items():
            own = vars(cls)
            if old in own and new not in own:
                warnings.warn(
                    f"rsir_bench.method: {cls.__name__}.{old} is now called {new}; rename it",
                    DeprecationWarning,
                    stacklevel=3,  # past ABCMeta.__new__, to the class statement
                )
                setattr(cls, new, own[old])
            elif new in own:
                setattr(cls, old, own[new])


class RenamedFields(BaseModel):
    """Base of cards whose fields may still be given by their old names."""

    old_names: ClassVar[Mapping[str, str]] = {}

    @model_validator(mode="before")
    @classmethod
    def _accept_old_names(cls, values: Any) -> Any:
        return cls._renamed(values, stacklevel=4) if isinstance(values, dict) else values

    @classmethod
    def _renamed(cls, values: Mapping[str, Any], stacklevel: int) -> dict[str, Any]:
        for old in cls.old_names.keys() & values.keys():
            message = f"rsir_bench.method: {cls.__name__}.{old} is now called {cls.old_names[old]}; rename it"
            warnings.warn(message, DeprecationWarning, stacklevel=stacklevel)
        return {cls.old_names.get(key, key): value for key, value in values.items()}

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Return a copy with the changes of ``update``, which may use old names."""
        return super().model_copy(update=self._renamed(update or {}, stacklevel=3), deep=deep)

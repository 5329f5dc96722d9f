"""Read the ``dataset.toml`` of a user's dataset."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pydantic

from rsir_bench.base.errors import UserError, suggest
from rsir_bench.base.toml import read_toml

SETTINGS_FILE = "dataset.toml"


class FolderSettings(pydantic.BaseModel, frozen=True, extra="forbid"):
    """The settings in ``dataset.toml``; those that are left out are derived from the scenes.

    Attributes:
        title: The full name in tables.
        bands: Bands of a scene, alpha included.
        rgb: Indices of red, green and blue among them.
        value_range: The values that become 0 and 255 where pixels are not 8-bit.
        classes: Whether the ``outer`` or the ``inner`` folders name the classes; only ``folder:``.
        labels: The CSV that gives the classes, below the folder; only ``folder:``.
        image: The column of the scenes; only ``parquet:``.
        label: The column of the labels, or their field in the JSON of a tar.
        class_names: The names of the classes whose labels are the numbers 0, 1, ...
    """

    title: str | None = pydantic.Field(default=None, min_length=1)
    bands: int | None = pydantic.Field(default=None, gt=0)
    rgb: tuple[pydantic.NonNegativeInt, pydantic.NonNegativeInt, pydantic.NonNegativeInt] | None = None
    value_range: tuple[pydantic.FiniteFloat, pydantic.FiniteFloat] | None = None
    classes: Literal["inner", "outer"] | None = None
    labels: str | None = pydantic.Field(default=None, min_length=1)
    image: str | None = pydantic.Field(default=None, min_length=1)
    label: str | None = pydantic.Field(default=None, min_length=1)
    class_names: tuple[str, ...] | None = pydantic.Field(default=None, min_length=2)

    @pydantic.model_validator(mode="after")
    def _consistent(self) -> FolderSettings:
        if self.value_range is not None and self.value_range[0] >= self.value_range[1]:
            raise ValueError("value_range must rise")
        if self.labels is not None and self.classes is not None:
            raise ValueError("the classes come from a CSV (labels) or from folders (classes); give one of them")
        if self.class_names is not None and len(set(self.class_names)) < len(self.class_names):
            raise ValueError("class_names must be different names")
        return self

    def refuse(self, fields: tuple[str, ...], name: str) -> None:
        """Refuse settings that would change nothing.

        Args:
            fields: Those that do not apply to a dataset.
            name: The dataset, for messages.

        Raises:
            UserError: One of them is given.
        """
        if given := [field for field in fields if getattr(self, field) is not None]:
            raise UserError(f"{name}: {SETTINGS_FILE} gives {', '.join(given)}, which is not used here; remove it")


def read_settings(path: Path) -> FolderSettings:
    """Return what a ``dataset.toml`` says; all is left open where there is no such file.

    Raises:
        UserError: It is not valid; one line names the file and the field.
    """
    try:
        return FolderSettings.model_validate(read_toml(path))
    except FileNotFoundError:
        return FolderSettings()
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "settings"
        unknown = first["type"] == "extra_forbidden"
        why = suggest(field, list(FolderSettings.model_fields)) if unknown else first["msg"]
        raise UserError(f"{path}: {' '.join(field.split())}: {why}") from error
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); make it readable") from error
    except ValueError as error:
        raise UserError(f"{path}: not valid TOML: {error}") from error

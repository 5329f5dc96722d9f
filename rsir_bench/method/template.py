"""The file that ``rsir-bench methods new`` writes: a method to start from, which passes its check as it is."""

from __future__ import annotations

import re
from pathlib import Path

from rsir_bench.base.errors import UserError

TEMPLATE = '''"""@NAME@: one line on what this method does."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from rsir_bench.method.contract import Batch, Card, Method, Row, Settings, Setup


class @KIND@Settings(Settings):
    """Changed by ``--set methods.@NAME@.dimensions=64``; every setting stands in the record of a result.

    Attributes:
        dimensions: Length of the descriptor.
        temperature: Divides the cosines before the softmax.
    """

    dimensions: int = Field(128, ge=1)
    temperature: float = Field(0.1, gt=0)


class @KIND@(Method):
    """Normalised embeddings under a cosine classifier: replace this with yours."""

    card = Card(
        name="@NAME@",  # as in --methods
        title="@KIND@",  # as in the tables
        paper="Author, Author: Title, venue year",
        year=2026,
        # The rows of the tables: kind="pca" shows principal components, kind="code" the signs as bits.
        rows={"Embedding": Row(descriptor="embedding"), "Hashing": Row(descriptor="embedding", kind="code")},
        stated=["what the paper says: losses, layers, rates, with the section or equation"],
        choices=["what it leaves open, and what is done here"],
        version=1,  # raise it when results change: finished runs are made again
    )
    Settings = @KIND@Settings

    def __init__(self, setup: Setup, settings: @KIND@Settings) -> None:
        super().__init__(setup, settings)
        self.settings: @KIND@Settings = settings
        self.trunk = setup.trunk()  # the protocol's: pooled features (N, C), or .maps(scenes) (N, C, h, w)
        self.embed = nn.Linear(self.trunk.features, settings.dimensions)
        self.classes = nn.Linear(settings.dimensions, setup.classes, bias=False)

    def describe(self, scenes: Tensor) -> dict[str, Tensor]:
        """Named descriptors (N, D) of scenes (N, B, H, W) in [0, 1]; a scene's must not depend on its batch."""
        return {"embedding": functional.normalize(self.embed(self.trunk(scenes)))}

    def loss(self, batch: Batch) -> Tensor:
        """A scalar, or named terms ``{"class": ..., "pair": ...}`` that are added up and logged one by one."""
        embedding = self.describe(batch.scenes)["embedding"]
        # Training may run in bf16: what needs more digits is done in 32 bit.
        with torch.autocast(batch.scenes.device.type, enabled=False):
            cosines = embedding.float() @ functional.normalize(self.classes.weight).T
            return functional.cross_entropy(cosines / self.settings.temperature, batch.labels)

    # What else a method may override: recipe, parameter_groups, batches, view, report, rounds and training_set;
    # rsir_bench.method.contract.Method says what each does.
'''


def write_template(name: str, folder: Path) -> Path:
    """Writes the template as a method called ``name``; hyphens become underscores in the file's name.

    Returns:
        The file.

    Raises:
        UserError: ``name`` is no name of a method, or the file is there already.
    """
    if not re.fullmatch(r"[a-z][a-z0-9-]*", name):
        raise UserError(f"{name!r}: no name of a method; write lower-case letters, digits and '-', a letter first")
    path = folder / f"{name.replace('-', '_')}.py"
    kind = "".join(word.capitalize() for word in name.split("-"))
    try:
        with path.open("x", encoding="utf-8") as stream:
            stream.write(TEMPLATE.replace("@NAME@", name).replace("@KIND@", kind))
    except FileExistsError:
        raise UserError(f"{path}: is there already; choose another name, or move it") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror}); choose another folder") from None
    return path

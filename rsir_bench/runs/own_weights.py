"""timm's own weights go by a name in keys; the tensors behind the name are noted in a run's folder and compared."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from rsir_bench.base.errors import UserError
from rsir_bench.encoders import own_tensors
from rsir_bench.records.store import WEIGHTS_NOTE
from rsir_bench.runs.notes import read_note, write_note

OWN = "imagenet:"


def note_own_weights(folder: Path, weights: Mapping[str, str]) -> None:
    """Write down in a run's folder which tensors its networks start from, once.

    Args:
        folder: The run's folder.
        weights: The initial weights of the networks, by setting; only those of timm are noted.
    """
    note = folder / WEIGHTS_NOTE
    if note.is_file() or not _models(weights):
        return
    with suppress(UserError):  # the network is built next, and says in its own words what is missing
        write_note(note, {name: own_tensors(model, build=True) for name, model in _models(weights).items()})


def noted_weights(folder: Path) -> dict[str, str]:
    """Return what a run's networks start from, ``"tensors:"`` and a digest, by setting; empty if unknown."""
    note = folder / WEIGHTS_NOTE
    return read_note(note) if note.is_file() else {}


def changed_weights(folder: Path, weights: Mapping[str, str]) -> dict[str, str]:
    """Return the weights that are no longer those a run's folder was made with, as name and tensors by setting.

    Weights that are not in timm's cache cannot be compared; they count as the same.
    """
    if not _models(weights):
        return {}
    noted = noted_weights(folder)
    now = {name: own_tensors(model, build=False) for name, model in _models(weights).items() if name in noted}
    return {name: f"{weights[name]}@{known}" for name, known in now.items() if known not in (None, noted[name])}


def _models(weights: Mapping[str, str]) -> dict[str, str]:
    """Return the models that start from timm's own weights, by setting."""
    return {
        name: identity.removeprefix(OWN).partition("@")[0]
        for name, identity in weights.items()
        if identity.startswith(OWN)
    }

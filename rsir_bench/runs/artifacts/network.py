"""The network of one round of training."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from rsir_bench.base.compute.devices import on_device
from rsir_bench.base.errors import RunError, UserError, one_line
from rsir_bench.base.files import file_digest, remove_files, write_atomically
from rsir_bench.encoders import facts_in
from rsir_bench.method import Method
from rsir_bench.runs.artifacts.environment import environment
from rsir_bench.runs.notes import read_note, write_note
from rsir_bench.runs.plan import Plan, Run, round_folder
from rsir_bench.scenes.batches import Scenes
from rsir_bench.scenes.pixel_cache import open_pixels
from rsir_bench.training import distributed
from rsir_bench.training.device import compute_deterministically, make_fabric
from rsir_bench.training.loop import Trained, seed_everything, train

ROUND_FILES = (".npy", ".npz", ".json", ".csv", ".pt", ".safetensors", ".sha256")
"""Suffixes of the files that a training round leaves in its folder."""


@dataclass(frozen=True)
class TrainOrder:
    """An order to the other ranks: train a round of a run, given the network of the previous round.

    Attributes:
        folder: The run's folder.
        round_index: The round to train.
        previous: The previous network's tensors by name, each (...), on the CPU; None in the first round.
    """

    folder: Path
    round_index: int
    previous: dict[str, Tensor] | None


class Network:
    """The network of a round: ``weights.safetensors``, and ``trained.json`` to mark the round as done.

    An untrained method has a network too: it is built each time and never saved.

    Attributes:
        key: The run's key and the round.
        path: The weights file.
        note: The file that holds the costs of the training.
        previous: The network of the previous round, or None in the first round.
    """

    def __init__(self, plan: Plan, run: Run, round_index: int, previous: Network | None) -> None:
        self.plan, self.run, self.round_index, self.previous = plan, run, round_index, previous
        self.key = f"{run.key}:{round_index}"
        self.folder = round_folder(run.folder, round_index)
        self.path = self.folder / "weights.safetensors"
        self.note = run.note(round_index)
        self._network: Method | None = None

    @property
    def device(self) -> torch.device:
        """The device that the network runs on."""
        return torch.device(self.plan.request.device)

    def exists(self) -> bool:
        """Return whether the training is done or there is nothing to train."""
        return not self.run.card.trained or self.run.is_trained(self.round_index)

    def build(self) -> Method:
        """Return the network before any training; it is the same each time.

        Raises:
            RunError: It is an encoder that is no longer the one that the run was planned with.
        """
        seed_everything(self.run.seed, self.round_index, "weights")
        network = self.run.method.build(self.plan.setup(self.run))
        if self.run.encoder is not None and not facts_in(network).is_built_as(self.run.encoder):
            changed = "its weights or its configuration have changed since the run was planned"
            raise RunError(f"{self.run.title}: {changed}; run it again")
        return network

    def load(self) -> Method:
        """Return the trained network, on its device.

        Raises:
            UserError: Its file is damaged or missing, or no longer fits the method.
        """
        if not self.run.card.trained:
            return self.build()
        if not self.path.is_file() or file_digest(self.path) != read_note(self.note)["weights_sha256"]:
            raise UserError(f"{self.path}: damaged or missing; delete {self.note} to train again")
        try:
            return self.copy(load_file(self.path))
        except (RuntimeError, SafetensorError) as error:
            problem = f"does not fit the method as it is now ({one_line(error)})"
            raise UserError(f"{self.path}: {problem}; raise its version") from None

    def copy(self, state: dict[str, Tensor]) -> Method:
        """Return a network with the given tensors, on the same device and in the same memory layout as after training.

        Args:
            state: By name, (...) of the network's shapes and dtypes.
        """
        network = self.build()
        network.load_state_dict(state)
        return on_device(network, self.device)

    def make(self) -> Method:
        """Train the round, resuming from its checkpoint if there is one.

        Raises:
            RunError: The training failed.
            UserError: A file cannot be read or written.
        """
        self._forget()
        earlier = self.previous.get().eval() if self.previous else None
        weights = None if earlier is None else state_of(earlier)
        with distributed.collective(self.run.title, lambda: TrainOrder(self.run.folder, self.round_index, weights)):
            network, trained = self.fit(earlier)
        if self.previous:
            self.previous.release()
        # Copy the tensors: safetensors refuses tensors that share memory, such as tied weights.
        state = {
            name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
            for name, tensor in network.state_dict().items()
        }
        write_atomically(self.path, lambda path: save_file(state, path))
        figures = asdict(trained)
        *earlier_sessions, session = figures.pop("sessions")
        note = {
            **figures,
            "weights_sha256": file_digest(self.path),
            "precision": network.recipe(self.plan.protocol.train).precision,
            "environment": session,
            "earlier_environments": earlier_sessions,
        }
        write_note(self.note, note)
        self.remove_checkpoints()
        return network

    def get(self) -> Method:
        """Return the network, training it first if necessary; it stays in memory until ``release``."""
        if self._network is None:
            self._network = self.load() if self.exists() else self.make()
        return self._network

    def release(self) -> None:
        """Free the network's memory."""
        self._network = None

    def descriptor_names(self) -> set[str]:
        """Return the names of the descriptors that this round's rows are made from."""
        rows = self.run.card.rows.values()
        return {
            row.descriptor for row in rows if (row.round or self.run.method.method_class.rounds) == self.round_index
        }

    def fit(self, previous: Method | None) -> tuple[Method, Trained]:
        """Train on every rank; return the network and the cost of its training."""
        compute_deterministically(self.device)
        network, compiled = self.build(), self.plan.request.compile
        precision = network.recipe(self.plan.protocol.train).precision
        fabric = make_fabric(str(self.device), precision)
        scenes = self.training_set(network, previous)
        # Use the first rank's training set: the arithmetic of the others may give different pseudo-labels.
        cache, row, labels = distributed.broadcast(lambda: (scenes.cache, scenes.row, scenes.labels))
        scenes = replace(scenes, cache=cache, row=row, labels=labels)
        title = self.run.title + (f" round {self.round_index}" if network.rounds > 1 else "")
        session = environment(str(self.device), precision) | ({"compiled": "training"} if compiled else {})
        seed = self.run.seed, self.round_index
        return network, train(network, scenes, fabric, self.folder, seed, title, compiled, session)

    def training_set(self, network: Method, previous: Method | None) -> Scenes:
        """Return the labelled scenes that a network of this round is trained on, as its method chooses them.

        Args:
            network: A network of the round.
            previous: The network of the previous round; None in the first round.
        """
        data = self.plan.protocol.data
        source = Scenes.of(self._pixels(self.plan.protocol.source), self.plan.source.labels)
        pool = None
        if self.run.card.needs_unlabelled and data.unlabelled is not None:
            pixels = self._pixels(data.unlabelled)
            pool = Scenes.of(pixels, np.full(len(pixels), -1))
        return network.training_set(self.round_index, previous, source, pool)

    def remove_checkpoints(self) -> None:
        """Remove the checkpoints if the training is done."""
        if self.run.is_trained(self.round_index):
            for path in self.folder.glob("checkpoint.pt*"):
                path.unlink()

    def notes(self) -> list[dict[str, Any]]:
        """Return the training notes of every round up to this one."""
        notes = (self.run.note(index) for index in range(1, self.round_index + 1))
        return [read_note(note) for note in notes if note.is_file()]

    def _forget(self) -> None:
        """Remove the files that an earlier network of this round made, and all unfinished later rounds.

        That network is lost, and the next one may not be bit-identical to it.
        """
        later = (index for index in self.run.rounds if index > self.round_index)
        begun = [round_folder(self.run.folder, index) for index in later if not self.run.is_trained(index)]
        for folder in (self.folder / "pca", self.folder / "descriptors", *begun):
            remove_files(folder, ROUND_FILES)

    def _pixels(self, name: str) -> np.memmap[tuple[int, ...], np.dtype[np.uint8]]:
        return open_pixels(self.plan.datasets[name], self.run.transform)


def state_of(network: Method) -> dict[str, Tensor]:
    """Return a network's tensors on the CPU, by name: (...) of the network's shapes and dtypes."""
    return {name: tensor.cpu() for name, tensor in network.state_dict().items()}

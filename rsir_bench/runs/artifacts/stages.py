"""The stages of one run: train, describe, reduce, score, record. Each writes its outcome and can be repeated alone."""

from __future__ import annotations

import json
import logging
import time
import zipfile
import zlib
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from rsir_bench.training import distributed
from rsir_bench.scenes.batches import Pixels, Scenes
from rsir_bench.training.describe import Descriptors, Reduction, as_bits, describe, fit_reduction
from rsir_bench.base.errors import RunError, UserError
from rsir_bench.base.files import (
    PARTIAL,
    digest,
    file_digest,
    is_intact,
    locked,
    remove_files,
    write_atomically,
    write_sealed,
)
from rsir_bench.method import Method
from rsir_bench.nn.trunk import Trunk
from rsir_bench.runs.plan import (
    DESCRIBING_VERSION,
    Cell,
    Plan,
    Request,
    Run,
    make_plan,
    round_folder,
    scenes_as_read,
)
from rsir_bench.runs.artifacts.record import Left, environment, make_record
from rsir_bench.ranking.queries import choose_queries
from rsir_bench.ranking import Scores, score
from rsir_bench.records.schema import Record
from rsir_bench.records.store import write_record
from rsir_bench.scenes.pixel_cache import open_pixels
from rsir_bench.scenes.distortions import Distorted, Distortion
from rsir_bench.training.loop import (
    Trained,
    compute_deterministically,
    make_fabric,
    seed_everything,
    train,
)


@dataclass(frozen=True)
class _TrainOrder:
    """To the other ranks: train a round of a run, after this network of the round before."""

    folder: Path
    number: int
    previous: dict[str, Tensor] | None


@dataclass(frozen=True)
class _DescribeOrder:
    """To the other ranks: describe a dataset with this network of a run."""

    folder: Path
    number: int
    dataset: str
    names: set[str]
    distortion: Distortion | None
    state: dict[str, Tensor]


ROUND_FILES = (".npy", ".npz", ".json", ".csv", ".pt", ".safetensors", ".sha256")
"""Suffixes of what a round of training leaves in its folder."""


def follow(request: Request) -> None:
    """On every rank but the first: takes its part in what the first trains and describes, until that ends."""
    plan: Plan | None = None
    for order in distributed.orders():
        with distributed.together(str(order.folder)):
            plan = plan or make_plan(request)
            run = next(run for run in plan.runs if run.folder == order.folder)
            Stages(plan, run).take_part(order)


class Stages:
    """Works off one run.

    Args:
        plan: The campaign's plan.
        run: The run.
    """

    def __init__(self, plan: Plan, run: Run) -> None:
        self.plan = plan
        self.run = run
        self.device = torch.device(plan.request.device)
        compute_deterministically(self.device)
        self._networks: dict[int, Method] = {}
        self._leaked: dict[str, np.ndarray] = {}

    def __call__(self) -> None:
        """Makes every missing result of the run; another process on the same run is waited for.

        Raises:
            RunError: The training failed.
            UserError: Something of the run's folder cannot be read or written.
        """
        with locked(self.run.folder / ".lock"):
            self._sweep()
            todo = self.run.todo
            for place in dict.fromkeys((cell.target, cell.distortion) for cell in todo):
                cells = [cell for cell in todo if (cell.target, cell.distortion) == place]
                self._describe(*place, [cell for cell in cells if not self._is_described(cell)])
                for cell in cells:
                    write_record(cell.record, self._record(cell), sealed=True)

    def _sweep(self) -> None:
        """Removes what a killed process left, and the checkpoints of finished rounds."""
        trained = (self.run.note(number).parent for number in range(1, self.run.method.kind.rounds + 1))
        finished = (folder for folder in trained if (folder / "trained.json").is_file())
        checkpoints = (path for folder in finished for path in folder.glob("checkpoint.pt*"))
        for rest in [*self.run.folder.rglob(f"{PARTIAL}*"), *checkpoints]:
            rest.unlink()

    def _pixels(self, name: str) -> Pixels:
        return open_pixels(self.plan.datasets[name], self.plan.transform)

    # --- train ---

    def network(self, number: int | None = None) -> Method:
        """The trained network of a round, the last by default; trained now where it is not on disk."""
        rounds = self.run.method.kind.rounds
        number = number or rounds
        if number not in self._networks:
            self._networks = {number: self._load(number) or self._train(number)}
        return self._networks[number]

    def _build(self, number: int) -> Method:
        seed_everything(self.run.seed, number, "weights")
        return self.run.method.build(self.plan.setup(self.run))

    def _load(self, number: int) -> Method | None:
        if not self.run.method.kind.card.trained:
            return self._build(number)
        note = self.run.note(number)
        if not self.run.is_trained(number):
            return None
        weights = self._weights(number)
        if not weights.is_file() or file_digest(weights) != _read_note(note)["weights_sha256"]:
            raise UserError(f"{weights}: damaged or gone; delete {note} to train again")
        network = self._build(number)
        try:
            network.load_state_dict(load_file(weights))
        except (RuntimeError, SafetensorError) as error:
            reason = str(error).splitlines()[0]
            raise UserError(f"{weights}: does not fit the method as it is now ({reason}); raise its version") from None
        return self._placed(network)

    def _placed(self, network: Method) -> Method:
        """The network where, and as, a training leaves it: the next round may label scenes with it."""
        return network.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]

    def _train(self, number: int) -> Method:
        self._forget(number)
        previous = self.network(number - 1).eval() if number > 1 else None
        order = partial(_TrainOrder, self.run.folder, number)
        with distributed.together(self.run.title, lambda: order(None if previous is None else _state(previous))):
            network, trained = self._fit(number, previous)
        # Copies: safetensors refuses tensors that share memory, as tied weights do.
        state = {
            name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
            for name, tensor in network.state_dict().items()
        }
        write_atomically(self._weights(number), lambda path: save_file(state, path))
        precision = network.recipe(self.plan.protocol.train).precision
        note = {
            **asdict(trained),
            "weights_sha256": file_digest(self._weights(number)),
            "precision": precision,
            "environment": environment(str(self.device), precision),
        }
        _write_note(self.run.note(number), note)
        self._sweep()
        return network

    def _forget(self, number: int) -> None:
        """Removes what an earlier network of the round made, and what is under way of later rounds.

        That network is lost, and the next may end with other bits.
        """
        folder = round_folder(self.run.folder, number)
        later = range(number + 1, self.run.method.kind.rounds + 1)
        begun = [round_folder(self.run.folder, other) for other in later if not self.run.is_trained(other)]
        for lost in (folder / "pca", folder / "descriptors", *begun):
            remove_files(lost, ROUND_FILES)

    def _fit(self, number: int, previous: Method | None) -> tuple[Method, Trained]:
        """Trains a round, on every rank; returns the network and what it took."""
        data, card = self.plan.protocol.data, self.run.method.kind.card
        source = Scenes.of(self._pixels(data.source), self.plan.datasets[data.source].labels)
        pool = None
        if card.unlabelled and data.unlabelled is not None:
            pixels = self._pixels(data.unlabelled)
            pool = Scenes.of(pixels, np.full(len(pixels), -1))
        network = self._build(number)
        fabric = make_fabric(str(self.device), network.recipe(self.plan.protocol.train).precision)
        scenes = network.training_set(number, previous, source, pool)
        # The others' arithmetic may give another pseudo-label.
        cache, row, labels = distributed.from_first(lambda: (scenes.cache, scenes.row, scenes.labels))
        scenes = replace(scenes, cache=cache, row=row, labels=labels)
        what = self.run.title + (f" round {number}" if network.rounds > 1 else "")
        folder = round_folder(self.run.folder, number)
        return network, train(network, scenes, fabric, folder, (self.run.seed, number), what)

    def _weights(self, number: int) -> Path:
        return round_folder(self.run.folder, number) / "weights.safetensors"

    # --- describe ---

    def descriptors(self, cell: Cell) -> np.ndarray:
        """(N, D) of all scenes of the cell's target; they are described now where they are not on disk.

        Raises:
            RunError: They are not finite.
            UserError: They cannot be read or written.
        """
        if not self._is_described(cell):
            with locked(self.run.folder / ".lock"):
                self._describe(cell.target, cell.distortion, [cell])
        return _read_arrays(cell.descriptors)["descriptors"]

    def describe_scenes(self, pixels: Pixels, cell: Cell) -> np.ndarray:
        """(M, D) of any scenes as the cell's row describes them, or their packed codes.

        Args:
            pixels: (M, H, W, B) uint8, as the plan's transform makes them.
            cell: Gives the row. Where its components are fitted on the target, they are fitted again.
        """
        name, dimensions = cell.row.descriptor, self.plan.protocol.describe.pca
        reduction = None
        if cell.fit == "target":
            reduction = fit_reduction(self._raw(cell.target, cell.round, {name})[name], dimensions)
        elif cell.fit == "source":
            reduction = self._source_reductions(cell.round, [cell])[name]
        network = self.network(cell.round)
        raw = describe(network, pixels, self.device, f"describing with {self.run.title}", {name})[name]
        return _reduced(raw, cell, reduction)

    def _is_described(self, cell: Cell) -> bool:
        """Whether the descriptors are there, and so is the network that made them."""
        if self.run.method.kind.card.trained and not self.run.is_trained(cell.round):
            return False
        return _is_there(cell.descriptors) and cell.row.descriptor in self._described().get("lengths", {})

    def _describe(self, target: str, distortion: Distortion | None, cells: list[Cell]) -> None:
        """Writes the descriptors of the cells; one pass over the target for each round."""
        for number in dict.fromkeys(cell.round for cell in cells):
            of_round = [cell for cell in cells if cell.round == number]
            reductions = self._source_reductions(number, [cell for cell in of_round if cell.fit == "source"])
            raw = self._raw(target, number, {cell.row.descriptor for cell in of_round}, distortion)
            for cell in of_round:
                values, reduction = raw[cell.row.descriptor], reductions.get(cell.row.descriptor)
                if cell.fit == "target":
                    reduction = fit_reduction(values, self.plan.protocol.describe.pca)
                row = _reduced(values, cell, reduction)
                write_sealed(cell.descriptors, lambda path, row=row: np.save(path, row))  # type: ignore[misc]

    def _raw(
        self, dataset: str, number: int, names: set[str], distortion: Distortion | None = None
    ) -> dict[str, Descriptors]:
        network = self.network(number)
        pixels = self._pixels(dataset)
        started = time.perf_counter()
        order = partial(_DescribeOrder, self.run.folder, number, dataset, names, distortion)
        with distributed.together(self.run.title, lambda: order(_state(network))):
            raw = self._see(network, dataset, names, distortion)
        speed = len(pixels) / (time.perf_counter() - started)
        known = self._described()
        here = environment(str(self.device), network.recipe(self.plan.protocol.train).precision)
        # Distorting takes its own time, which is not the method's.
        timed = {"images_per_second": speed, "environment": here} if distortion is None else {}
        note = {
            "images_per_second": known.get("images_per_second"),
            "environment": known.get("environment", here),
            **timed,
            "parameters": sum(tensor.numel() for tensor in network.parameters()),
            "macs": known.get("macs") or multiply_accumulates(network, pixels, self.device),
            "normalisation": _normalisation(network),
            "lengths": {**known.get("lengths", {}), **{name: raw[name].shape[1] for name in raw}},
        }
        _write_note(self.run.folder / "described.json", note)
        if missing := names - set(raw):
            raise RunError(f"{self.run.title}: describe() gives {', '.join(sorted(raw))} but no {', '.join(missing)}")
        if not all(np.isfinite(values).all() for values in raw.values()):
            raise RunError(f"{self.run.title}: descriptors of {dataset} are not finite; mend the method")
        return raw

    def _see(
        self, network: Method, dataset: str, names: set[str], distortion: Distortion | None
    ) -> dict[str, Descriptors]:
        """The dataset's descriptors, which the ranks make together."""
        pixels = self._pixels(dataset)
        seen = pixels if distortion is None else Distorted(pixels, distortion)
        what = dataset if distortion is None else f"{dataset} under {distortion}"
        return describe(network, seen, self.device, f"describing {what} with {self.run.title}", names)

    def take_part(self, order: _TrainOrder | _DescribeOrder) -> None:
        """What the first rank orders: the same work, of which this rank writes nothing."""
        if isinstance(order, _TrainOrder):
            previous = None if order.previous is None else self._copy(order.number - 1, order.previous)
            self._fit(order.number, previous)
        else:
            network = self._copy(order.number, order.state)
            self._see(network, order.dataset, order.names, order.distortion)

    def _copy(self, number: int, state: dict[str, Tensor]) -> Method:
        """The first rank's network of a round."""
        network = self._build(number)
        network.load_state_dict(state)
        return self._placed(network).eval()

    def _source_reductions(self, number: int, cells: list[Cell]) -> dict[str, Reduction]:
        """Components fitted on the source, by descriptor; kept in the run's folder."""
        wanted = self.plan.protocol.describe.pca
        self.network(number)  # where it must be trained again, those of the lost one go
        paths = {cell.row.descriptor: self._reduction_path(cell, wanted) for cell in cells}
        missing = {name for name, path in paths.items() if not _is_there(path)}
        if missing:
            raw = self._raw(self.plan.protocol.data.source, number, missing)
            for name in missing:
                fitted = fit_reduction(raw[name], wanted)
                write_sealed(paths[name], lambda path, fitted=fitted: np.savez(path, **asdict(fitted)))  # type: ignore[misc]
        reductions = {}
        for name, path in paths.items():
            arrays = _read_arrays(path)
            reductions[name] = Reduction(arrays["mean"], arrays["components"])
        return reductions

    def _reduction_path(self, cell: Cell, dimensions: int) -> Path:
        source = scenes_as_read(self.plan, self.plan.protocol.data.source)
        key = digest([DESCRIBING_VERSION, source, cell.row.descriptor])[:8]
        return round_folder(self.run.folder, cell.round) / "pca" / f"{dimensions}-{key}.npz"

    # --- score and record ---

    def _score(self, cell: Cell, descriptors: np.ndarray) -> Scores:
        index, settings = self.plan.datasets[cell.target], self.plan.protocol.score
        kept = self.kept(cell.target)
        descriptors, labels = descriptors[kept], index.labels[kept]
        queries = choose_queries(labels, settings.queries, settings.query_seed)
        names = list(index.classes)
        if cell.row.kind == "code":
            bits = self._described()["lengths"][cell.row.descriptor]
            return score(descriptors, labels, codes=True, bits=bits, queries=queries, class_names=names)
        return score(descriptors, labels, similarity=settings.similarity, queries=queries, class_names=names)

    def kept(self, target: str) -> np.ndarray:
        """Which scenes of the target count, bool (N,): all, or those without a duplicate in the source."""
        index, data = self.plan.datasets[target], self.plan.protocol.data
        if data.leaked == "keep":
            return np.ones(len(index), np.bool_)
        if target not in self._leaked:
            from rsir_bench.scenes.inspect.duplicates import leaked  # its packages are needed in this case only

            self._leaked[target] = leaked(self.plan.datasets[data.source], index)
        return ~self._leaked[target]

    def _record(self, cell: Cell) -> Record:
        descriptors = _read_arrays(cell.descriptors)["descriptors"]
        scores = self._score(cell, descriptors)
        left = Left(self._notes(cell.round), self._described(), descriptors.shape[1], int(self.kept(cell.target).sum()))
        return make_record(self.plan, self.run, cell, scores, left)

    def _notes(self, last: int) -> list[dict[str, Any]]:
        """What the training of each round left, up to the one whose network makes a result."""
        notes = (self.run.note(number) for number in range(1, last + 1))
        return [_read_note(note) for note in notes if note.is_file()]

    def _described(self) -> dict[str, Any]:
        """What the last pass of describing left: images/s and where, parameters, MACs, length of each descriptor.

        Empty where there was none, or where its note is damaged: the scenes are described again then.
        """
        note = self.run.folder / "described.json"
        return _read_note(note) if _is_there(note) else {}


def _state(network: Method) -> dict[str, Tensor]:
    return {name: tensor.cpu() for name, tensor in network.state_dict().items()}


def _is_there(path: Path) -> bool:
    """Whether a file that can be made again is there, whole; damage is told."""
    intact = is_intact(path)
    if path.is_file() and not intact:
        logging.getLogger(__name__).warning("%s: damaged; it is made again", path)
    return intact


def _write_note(path: Path, note: dict[str, Any]) -> None:
    write_sealed(path, lambda unfinished: unfinished.write_text(json.dumps(note, indent=1), encoding="utf-8"))


def _read_note(path: Path) -> dict[str, Any]:
    try:
        note = json.loads(path.read_text(encoding="utf-8")) if is_intact(path) else None
    except ValueError:
        note = None
    if not isinstance(note, dict):
        raise UserError(f"{path}: damaged; delete it, what it tells of is made again")
    return note


def _read_arrays(path: Path) -> dict[str, np.ndarray]:
    """The arrays of an ``.npz`` by name, or the one of an ``.npy`` as ``"descriptors"``."""
    try:
        loaded = np.load(path, allow_pickle=False)
        return {"descriptors": loaded} if isinstance(loaded, np.ndarray) else dict(loaded)
    except (ValueError, OSError, EOFError, SyntaxError, MemoryError, zipfile.BadZipFile, zlib.error) as error:
        raise UserError(f"{path}: damaged ({type(error).__name__}); delete it, it is made again") from None


def _normalisation(network: Method) -> dict[str, list[float] | None]:
    """What the network's trunk subtracts and divides by, per band; None where it is no :class:`Trunk`."""
    trunk = next((part for part in network.modules() if isinstance(part, Trunk)), None)
    return {name: getattr(trunk, name).flatten().tolist() if trunk else None for name in ("mean", "std")}


def multiply_accumulates(network: Method, pixels: Pixels, device: torch.device) -> float:
    """Multiply-accumulates of describing one scene: convolutions, matrix products and attention; no other arithmetic.

    Args:
        network: In evaluation mode on the device, as :func:`rsir_bench.training.describe.describe` leaves it.
        pixels: (N, H, W, B) uint8; the first scene is described.
        device: Where to compute.
    """
    from torch.utils.flop_counter import FlopCounterMode  # it loads triton

    scene = Scenes.of(pixels[:1], np.full(1, -1)).batch(torch.zeros(1, dtype=torch.int64), device).scenes
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        network.describe(scene)
    return float(counter.get_total_flops()) / 2  # it counts a multiplication and an addition as two


def _reduced(raw: Descriptors, cell: Cell, reduction: Reduction | None) -> np.ndarray:
    """The cell's row out of raw descriptors; only a cell with fitted components has a ``reduction`` to apply."""
    if cell.row.kind == "code":
        return as_bits(raw)
    return reduction(raw) if cell.fit and reduction else raw

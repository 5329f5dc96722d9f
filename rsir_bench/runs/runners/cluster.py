"""Run a campaign on a Ray cluster, one task per run, or split the queries of one large gallery over it.

A run is never split, because its targets share the network that it trains. Ray restarts a task elsewhere if its node or
process dies. An error that a method raises counts as a result and is never retried.

Anyone whom Ray admits can run code as the cluster's user, so a cluster must ask for a token; see ``connected``.
"""

from __future__ import annotations

import os
import socket
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import ray
import torch
from ray.exceptions import RayError
from ray.util.scheduling_strategies import In, NodeAffinitySchedulingStrategy, NodeLabelSchedulingStrategy

from rsir_bench.base.errors import RunError, UserError, one_line
from rsir_bench.base.files import discard, write_text
from rsir_bench.base.progress import track
from rsir_bench.ranking.blocks import block_queries
from rsir_bench.ranking.scores import FloatArray, measure_queries
from rsir_bench.ranking.task import Task
from rsir_bench.runs.plan import Plan, Run, find_planned_run
from rsir_bench.runs.request import Request
from rsir_bench.runs.runners.campaign import RunOutcome, work_off_within_limit
from rsir_bench.runs.runners.nodes import (
    MARK,
    CarriedFiles,
    Files,
    mark_text,
    pack,
    remove_old_marks,
    unpack,
    why_not_here,
)
from rsir_bench.runs.runners.ray_access import (
    address_in_words,
    check_ray,
    find_cluster,
    first_line,
    joining,
    lets_in,
    starting,
    told_shortly,
)

RETRIES = 3  # how often a task is restarted after its node or process dies
POLL = 3.0  # seconds between looks at nodes and head
PARTS_PER_SLOT = 4  # a slow node then delays the others by at most a quarter of its share


class HeadLostError(RunError):
    """The head of the cluster does not answer any more."""


@dataclass(frozen=True)
class Node:
    """The resources that a node of the cluster offers."""

    cpus: int
    gpus: int


@dataclass(frozen=True)
class Needs:
    """The resources that a task occupies: CPU threads and GPUs."""

    cpus: int
    gpus: int

    def slots(self, nodes: Sequence[Node]) -> int:
        """Return how many such tasks the nodes can run at the same time."""
        return sum(min(node.cpus // self.cpus, node.gpus // self.gpus if self.gpus else node.cpus) for node in nodes)

    @property
    def options(self) -> dict[str, Any]:
        """The Ray options for such a task."""
        return {
            "num_cpus": self.cpus,
            "num_gpus": self.gpus,
            "max_retries": RETRIES,
            "retry_exceptions": False,
            "scheduling_strategy": "SPREAD",
        }


def needs(device: str, nodes: Sequence[Node], threads: int) -> Needs:
    """Return the resources that one run, or one part of the scoring, occupies.

    Args:
        device: ``"cpu"`` or ``"cuda"``.
        nodes: The nodes of the cluster.
        threads: Number of threads for a task on a CPU; fewer are used if no node has that many.

    Raises:
        UserError: No node has such a device.
    """
    if device == "cpu":
        most = max((node.cpus for node in nodes), default=0)
        if not most:
            raise UserError("--launcher ray: no node of the cluster has a free CPU; add one with `ray start --address`")
        return Needs(min(threads, most), 0)
    shares = [node.cpus // node.gpus for node in nodes if node.gpus]
    if not shares:
        raise UserError(f"--device {device}: no node of the cluster has a GPU; use --device cpu")
    return Needs(max(1, min(shares)), 1)  # so that no GPU is idle for lack of CPUs


@dataclass(frozen=True)
class RemoteTask:
    """A run to make on a node.

    Attributes:
        request: The caller's request, limited to one method and one seed.
        key: The key of the run.
        folder: The caller's working folder, the base of relative paths.
        mark: Name of a file in the output folder; a node that sees the file shares that folder with the caller.
        threads: Number of threads to compute with.
        files: The user's own files of the request.
    """

    request: Request
    key: str
    folder: Path
    mark: str
    threads: int
    files: CarriedFiles = field(default_factory=CarriedFiles)


@dataclass(frozen=True)
class RemoteResult:
    """What a node returns.

    Attributes:
        failure: The reason why the run failed, in one line, or None if it did not.
        place: A readable name of the node.
        files: All files of the run's folder, or None if the node shares that folder with the caller.
    """

    failure: str | None
    place: str
    files: Files | None


@dataclass(frozen=True)
class Cluster:
    """A cluster that this process is connected to; ``connected`` makes it.

    Attributes:
        nodes: The resources of each node.
        say: Shows a line to the user.
        threads: Number of threads that a task on a CPU uses.
    """

    nodes: tuple[Node, ...]
    say: Callable[[str], object]
    threads: int = field(default_factory=torch.get_num_threads)

    def find_device(self, name: str) -> str:
        """Return the device to use: ``"auto"`` becomes ``"cuda"`` if a node has a GPU, otherwise ``"cpu"``.

        The caller's machine does not need a GPU.

        Raises:
            UserError: The device is unknown, or no node of the cluster has it.
        """
        if name not in ("auto", "cpu", "cuda"):
            raise UserError(f"device {name!r}: on a cluster, use auto, cpu or cuda; Ray chooses the GPU")
        if name == "auto":
            return "cuda" if any(node.gpus for node in self.nodes) else "cpu"
        needs(name, self.nodes, self.threads)
        return name

    def launch(self, plan: Plan) -> Iterator[RunOutcome]:
        """Make the unfinished runs of a plan on the cluster, and yield each outcome as its run ends.

        See ``rsir_bench.runs.runners.campaign.Launcher``.
        """
        wanted, out = needs(plan.request.device, self.nodes, self.threads), plan.request.out
        self.say(self._offer("runs", wanted))
        files = CarriedFiles.of(plan.request)
        options = wanted.options | self._where(plan, files)
        task = ray.remote(run_on_node).options(**options)
        remove_old_marks(out)
        mark = f"{MARK}{uuid4().hex}"
        write_text(out / mark, mark_text())
        try:
            started = {
                task.remote(_remote_task(plan, run, mark, wanted, files), _sent(run.folder)): run for run in plan.todo
            }
            for reference in track(_as_they_end(list(started), self.say), "runs on the cluster", len(started)):
                yield _received(started[reference], reference)
        finally:
            discard(out / mark)

    def _where(self, plan: Plan, files: CarriedFiles) -> dict[str, Any]:
        """Ask every node once whether it can make the runs, and return Ray's options for those that can.

        Raises:
            UserError: None can; the message has a line for each.
        """
        ask = ray.remote(ask_node)
        order = replace(plan.request, published=None), [run.key for run in plan.todo], files, Path.cwd()
        alive = {node["NodeID"]: node for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU")}
        asked = {
            ask.options(
                num_cpus=0, max_retries=0, scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False)
            ).remote(*order): node
            for node in alive
        }
        unable: dict[str, str] = {}
        for reference, node in asked.items():
            try:
                reason = ray.get(reference)
            except RayError as error:
                reason = f"does not answer ({first_line(error)})"
            if reason:
                unable[node] = f"{alive[node]['NodeManagerHostname']} (node {node[:8]}): {reason}"
        if len(unable) == len(alive):
            raise UserError("\n".join(f"--launcher ray: {line}" for line in dict.fromkeys(unable.values())))
        for line in unable.values():
            self.say(f"left out  {line}")
        able = [node for node in alive if node not in unable]
        return {"scheduling_strategy": NodeLabelSchedulingStrategy({"ray.io/node-id": In(*able)})} if unable else {}

    def measure(self, task: Task, block: int | None, names: Sequence[str]) -> tuple[FloatArray, FloatArray]:
        """Run ``rsir_bench.ranking.scores.measure_queries`` with the queries split over the cluster.

        The caller prepares the gallery once, and each node stores one copy, however many tasks it runs. Parts end at
        block boundaries, so the products, and therefore the ranks, are the same as in one process.

        Returns:
            (3, metrics, Q) and (classes, 101) float64.

        Raises:
            UserError: A part was lost more often than it can be retried.
        """
        wanted = needs("cpu", self.nodes, self.threads)
        rows = block_queries(task, block, wanted.cpus)
        parts = split(len(task.queries), rows, PARTS_PER_SLOT * wanted.slots(self.nodes))
        self.say(self._offer(f"{len(parts)} parts of the queries", wanted))
        held, measured = ray.put(_as_arrays(task)), ray.remote(measure_part).options(**wanted.options)
        started = {measured.remote(held, part, rows, names, wanted.cpus): part for part in parts}
        tables: dict[int, FloatArray] = {}
        curves: dict[int, FloatArray] = {}
        for reference in track(_as_they_end(list(started), self.say), "scoring on the cluster", len(parts)):
            start = started[reference].start
            try:
                tables[start], curves[start] = ray.get(reference)
            except RayError as error:
                raise UserError(f"queries from {start}: {_lost(error)}; check the cluster nodes and retry") from None
        # Add up in query order, so that the sums do not depend on which part ends first.
        return np.concatenate([tables[part.start] for part in parts], axis=2), np.sum(
            [curves[part.start] for part in parts], axis=0
        )

    def _offer(self, what: str, wanted: Needs) -> str:
        cpus, gpus = sum(node.cpus for node in self.nodes), sum(node.gpus for node in self.nodes)
        each = f"{wanted.cpus} CPUs" + (f" and {wanted.gpus} GPU" if wanted.gpus else "")
        slots = wanted.slots(self.nodes)
        return f"cluster   {len(self.nodes)} nodes, {cpus} CPUs, {gpus} GPUs; {what}: {slots} at a time, {each} each"


@contextmanager
def connected(address: str | None, say: Callable[[str], object], *, allow_no_token: bool = False) -> Iterator[Cluster]:
    """Join a cluster, and leave it at the end.

    A cluster started here listens only on 127.0.0.1, and asks for a token that only this process and its child
    processes know. An existing cluster must ask for a token too.

    Args:
        address: ``HOST:PORT``, or ``ray://HOST:PORT`` from a machine outside the cluster. ``local`` starts a cluster on
            this machine only, which ends with the command. None uses the cluster that ``RAY_ADDRESS`` names,
            otherwise one that already runs on this machine, otherwise starts one as ``local`` does.
        say: Shows a line to the user.
        allow_no_token: Whether to join a cluster that asks for no token.

    Raises:
        UserError: There is no cluster at the address, the cluster asks for no token, or it asks for a token that this
            process does not have.
    """
    check_ray()
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_task_oom_retries", str(RETRIES))  # by default, Ray retries forever
    name = address_in_words(address)
    with ExitStack() as undo:
        try:
            found = find_cluster(address)
            undo.enter_context(joining(found, name, say, allow_no_token) if found else starting())
            # Show Ray's messages from warnings upwards: they include security warnings.
            ray.init(found or "local", include_dashboard=False, log_to_driver=False, logging_level="WARNING")
        except (ConnectionError, RayError, RuntimeError, ValueError) as error:  # no answer, other version, bad address
            raise UserError(
                f"{name}: cannot join a Ray cluster ({first_line(error)}); start one with "
                "`RAY_AUTH_MODE=token ray start --head` and give its HOST:PORT, or use --address local to "
                "start one for this command only"
            ) from None
        undo.enter_context(told_shortly(say))
        undo.callback(ray.shutdown)
        offers = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        try:
            yield Cluster(tuple(Node(int(offer.get("CPU", 0)), int(offer.get("GPU", 0))) for offer in offers), say)
        except HeadLostError as error:  # Ray's own end would wait for the head, too
            say(f"rsir-bench: {error}")
            os._exit(1)


# --- on the nodes ---


def run_on_node(order: RemoteTask, sent: Sequence[Any]) -> RemoteResult:
    """Make the results of a run on a node.

    Args:
        order: The task.
        sent: A list with a reference to the files in the caller's run folder; empty if there is no such folder. A node
            fetches them only if it does not see the folder itself.

    Returns:
        The outcome; errors that a user can fix and failures of the run are part of it.
    """
    torch.set_num_threads(order.threads)
    try:
        if not order.folder.is_dir():
            raise UserError(f"no folder {order.folder} here; start in a folder that every node has at the same path")
        os.chdir(order.folder)
        with tempfile.TemporaryDirectory(prefix="rsir-bench-") as name:
            order = replace(order, request=order.files.placed(order.request, Path(name) / "own"))
            if (order.request.out / order.mark).is_file():
                return RemoteResult(_work_off(order.request, order.key), place(), None)
            files = ray.get(list(sent))
            failure, packed = _work_off_unshared(order, Path(name) / "runs", files[0] if files else {})
            return RemoteResult(failure, place(), packed)
    except (RunError, UserError) as error:
        return RemoteResult(one_line(error), place(), None)


def ask_node(request: Request, keys: Sequence[str], files: CarriedFiles, folder: Path) -> str | None:
    """Return why a node cannot make runs as the caller planned them; None if it can."""
    if not folder.is_dir():
        return f"no folder {folder} here; start in a folder that every node has at the same path"
    os.chdir(folder)
    with tempfile.TemporaryDirectory(prefix="rsir-bench-") as name:
        return why_not_here(files.placed(request, Path(name)), keys)


def measure_part(
    task: Task, part: slice, block: int, names: Sequence[str], threads: int
) -> tuple[FloatArray, FloatArray]:
    """Measure some queries of a task on a node.

    Returns:
        As ``rsir_bench.ranking.scores.measure_queries``, (3, metrics, q) and (classes, 101) float64.
    """
    torch.set_num_threads(threads)
    return measure_queries(_as_tensors(task).part(part), block, names)


def place() -> str:
    """Return a readable name of this node: its host and its Ray node ID."""
    return f"{socket.gethostname()} (node {ray.get_runtime_context().get_node_id()[:8]})"


def _work_off(request: Request, key: str) -> str | None:
    plan, run = find_planned_run(request, key)
    return work_off_within_limit(plan, run)


def _work_off_unshared(order: RemoteTask, folder: Path, files: Files) -> tuple[str | None, Files]:
    """Make a run in a temporary folder of the node, resuming from the caller's files.

    Returns:
        The failure, or None if there is none, and all files of the run's folder.
    """
    plan, run = find_planned_run(replace(order.request, out=folder), order.key)
    unpack(files, run.folder)
    failure = work_off_within_limit(plan, run)
    packed = pack(run.folder)
    # Give the path of a traceback file in the caller's folder.
    return failure and failure.replace(str(folder), str(order.request.out)), packed


# --- between caller and nodes ---


def split(queries: int, rows: int, parts: int) -> list[slice]:
    """Split queries into at most ``parts`` parts, each made of whole blocks of ``rows`` queries.

    Examples:
        >>> split(10, 2, 3)
        [slice(0, 4, None), slice(4, 8, None), slice(8, 10, None)]
    """
    blocks = -(-queries // rows)
    step = rows * -(-blocks // parts)
    return [slice(start, min(start + step, queries)) for start in range(0, queries, step)]


def _remote_task(plan: Plan, run: Run, mark: str, wanted: Needs, files: CarriedFiles) -> RemoteTask:
    request = replace(plan.request.restricted_to(run.method.requested_as, run.method.parts), seeds=[run.seed])
    return RemoteTask(request, run.key, Path.cwd(), mark, wanted.cpus, files)


def _sent(folder: Path) -> list[Any]:
    """Return a reference to the files, inside a list so that Ray passes on the reference and not the files."""
    return [ray.put(pack(folder))] if folder.is_dir() else []


def _received(run: Run, reference: Any) -> RunOutcome:
    try:
        answer: RemoteResult = ray.get(reference)
    except RayError as error:
        return RunOutcome(run, _lost(error))
    try:
        unpack(answer.files or {}, run.folder)
    except UserError as error:  # a full disk fails this run, but not those still in progress
        return RunOutcome(run, str(error), answer.place)
    return RunOutcome(run, answer.failure, answer.place)


def _as_they_end(references: list[Any], say: Callable[[str], object]) -> Iterator[Any]:
    """Yield references as their tasks end; say when a node is lost, and end where the head is.

    Raises:
        HeadLostError: The head does not answer any more.
    """
    alive = _alive()
    while references:
        ended, references = ray.wait(references, num_returns=1, timeout=POLL)
        if not ended:
            _refuse_lost_head()
        now = _alive()
        for node in alive.keys() - now.keys():
            say(f"lost      {alive[node]} (node {node[:8]}): its unfinished runs start again on another node")
        alive = now
        yield from ended


def _alive() -> dict[str, str]:
    """Return the host names of the cluster's nodes by ID."""
    return {node["NodeID"]: node["NodeManagerHostname"] for node in ray.nodes() if node["Alive"]}


def _refuse_lost_head() -> None:
    """End where the head has gone: Ray would wait for a minute, and then end this process with its own words.

    Raises:
        HeadLostError: It does not answer three times in a row.
    """
    address = ray.get_runtime_context().gcs_address
    for _ in range(3):
        try:
            lets_in(address)
        except ConnectionError:
            time.sleep(1)
        else:
            return
    raise HeadLostError(
        f"{address}: the head of the Ray cluster is lost; finished runs are kept: restart it, and run the same command "
        "to resume"
    )


def _lost(error: RayError) -> str:
    return f"lost on the cluster ({type(error).__name__}: {first_line(error)})"


def _as_arrays(part: Any) -> Any:
    """Replace tensors with arrays: Ray stores an array once per node, in memory that the tasks there share."""
    return _converted(part, torch.Tensor, lambda tensor: tensor.numpy())


def _as_tensors(part: Any) -> Any:
    with warnings.catch_warnings():  # shared memory is read-only, but nothing writes to a task
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")
        return _converted(part, np.ndarray, torch.from_numpy)


def _converted(part: Any, kind: type, convert: Callable[[Any], Any]) -> Any:
    values = {entry.name: getattr(part, entry.name) for entry in fields(part)}
    changed = {name: convert(value) for name, value in values.items() if isinstance(value, kind)}
    nested = {name: _converted(value, kind, convert) for name, value in values.items() if is_dataclass(value)}
    return replace(part, **changed, **nested)

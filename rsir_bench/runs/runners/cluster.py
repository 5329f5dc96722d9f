"""A Ray cluster: the runs of a campaign as its tasks, and blocks of queries where one gallery is large.

A run stays in one piece, since its targets share the network it trains. Ray starts a task again elsewhere when its node
or process dies; what a method raises is a result like any other and is never tried again.

Whoever Ray lets in runs code as the cluster's user, so a cluster must ask for a token; see ``connected``.
"""

from __future__ import annotations

import os
import secrets
import socket
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, fields, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import ray
import torch
from ray.exceptions import RayError

from rsir_bench.base.errors import RunError, UserError, one_line
from rsir_bench.base.files import PARTIAL, discard, seal_for_both, write_atomically, write_text
from rsir_bench.base.progress import track
from rsir_bench.ranking.blocks import block_queries
from rsir_bench.ranking.scores import FloatArray, measure_queries
from rsir_bench.ranking.similarity import Prepared
from rsir_bench.ranking.task import Task
from rsir_bench.runs.plan import Plan, Run, find_planned_run
from rsir_bench.runs.request import Request
from rsir_bench.runs.runners.campaign import RunOutcome, work_off_within_limit

RETRIES = 3  # how often a task is started again whose node or process died
LOWEST_RAY = (2, 54)  # before it, Ray has no tokens or takes jobs without one
PATIENCE = 10.0  # seconds for a cluster to answer
PARTS_PER_SLOT = 4  # a slow node then holds the others up by a quarter of its share at most

Files = dict[str, bytes]


@dataclass(frozen=True)
class Node:
    """What a node of the cluster offers."""

    cpus: int
    gpus: int


@dataclass(frozen=True)
class Needs:
    """What a task occupies: threads that it computes with, and GPUs."""

    cpus: int
    gpus: int

    def slots(self, nodes: Sequence[Node]) -> int:
        """Return how many such tasks the nodes run at a time."""
        return sum(min(node.cpus // self.cpus, node.gpus // self.gpus if self.gpus else node.cpus) for node in nodes)

    @property
    def options(self) -> dict[str, Any]:
        """Ray's options of such a task."""
        return {
            "num_cpus": self.cpus,
            "num_gpus": self.gpus,
            "max_retries": RETRIES,
            "retry_exceptions": False,
            "scheduling_strategy": "SPREAD",
        }


def needs(device: str, nodes: Sequence[Node], threads: int) -> Needs:
    """Return what one run or part of a scoring occupies.

    Args:
        device: ``"cpu"`` or ``"cuda"``.
        nodes: The cluster's.
        threads: That a task on a CPU is to use; fewer where no node has as many.

    Raises:
        UserError: No node has such a device.
    """
    if device == "cpu":
        most = max((node.cpus for node in nodes), default=0)
        if not most:
            raise UserError("--launcher ray: no node of the cluster offers a CPU; add one with `ray start --address`")
        return Needs(min(threads, most), 0)
    shares = [node.cpus // node.gpus for node in nodes if node.gpus]
    if not shares:
        raise UserError(f"--device {device}: no node of the cluster has a GPU; use --device cpu")
    return Needs(max(1, min(shares)), 1)  # so that no GPU is idle for want of a CPU


@dataclass(frozen=True)
class RemoteTask:
    """A run to make on a node.

    Attributes:
        request: The caller's request for the one method and seed.
        key: Of the run.
        folder: The caller's working folder, which relative paths start from.
        mark: A file in the folder of the runs: a node that sees it shares that folder with the caller.
        threads: To compute with.
    """

    request: Request
    key: str
    folder: Path
    mark: str
    threads: int


@dataclass(frozen=True)
class RemoteResult:
    """What a node returns.

    Attributes:
        failure: Why the run failed, in one line; None otherwise.
        place: The node, in words.
        files: Everything in the run's folder, where the node does not share it with the caller; else None.
    """

    failure: str | None
    place: str
    files: Files | None


@dataclass(frozen=True)
class Cluster:
    """A cluster that this process is connected to; ``connected`` makes it.

    Attributes:
        nodes: What is offered.
        say: Shows a line to the user.
        threads: That a task on a CPU uses.
    """

    nodes: tuple[Node, ...]
    say: Callable[[str], object]
    threads: int = field(default_factory=torch.get_num_threads)

    def find_device(self, name: str) -> str:
        """``"auto"`` becomes ``"cuda"`` where a node has a GPU, else ``"cpu"``; the caller's machine need not have one.

        Raises:
            UserError: Unknown, or nowhere in the cluster.
        """
        if name not in ("auto", "cpu", "cuda"):
            raise UserError(f"device {name!r}: on a cluster, write auto, cpu or cuda; which GPU is up to Ray")
        if name == "auto":
            return "cuda" if any(node.gpus for node in self.nodes) else "cpu"
        needs(name, self.nodes, self.threads)
        return name

    def launch(self, plan: Plan) -> Iterator[RunOutcome]:
        """Make the unfinished runs of a plan on the cluster, and yield each as it ends.

        See ``rsir_bench.runs.runners.campaign.Launcher``.
        """
        wanted, out = needs(plan.request.device, self.nodes, self.threads), plan.request.out
        self.say(self._offer("runs", wanted))
        task = ray.remote(run_on_node).options(**wanted.options)
        mark = f".campaign-{uuid4().hex}"
        write_text(out / mark, "a node that sees this file shares the folder\n")
        try:
            started = {task.remote(_remote_task(plan, run, mark, wanted), _sent(run.folder)): run for run in plan.todo}
            for reference in track(_as_they_end(list(started)), "runs on the cluster", len(started)):
                yield _received(started[reference], reference)
        finally:
            discard(out / mark)

    def measure(self, task: Task, block: int | None, k: Sequence[int], hits: int) -> tuple[FloatArray, FloatArray]:
        """``rsir_bench.ranking.scores.measure_queries`` with the queries split over the cluster.

        The gallery is prepared once, by the caller, and lies once on each node, whatever the number of its tasks. Parts
        end where blocks do, so that the products, and with them the ranks, are those of one process.

        Raises:
            UserError: A part was lost more often than it is tried again.
        """
        wanted = needs("cpu", self.nodes, self.threads)
        rows = block_queries(task, block, wanted.cpus)
        parts = split(len(task.queries), rows, PARTS_PER_SLOT * wanted.slots(self.nodes))
        self.say(self._offer(f"{len(parts)} parts of the queries", wanted))
        held, measured = ray.put(_as_arrays(task)), ray.remote(measure_part).options(**wanted.options)
        started = {measured.remote(held, part, rows, k, hits, wanted.cpus): part for part in parts}
        tables: dict[int, FloatArray] = {}
        curves: dict[int, FloatArray] = {}
        for reference in track(_as_they_end(list(started)), "scoring on the cluster", len(parts)):
            start = started[reference].start
            try:
                tables[start], curves[start] = ray.get(reference)
            except RayError as error:
                raise UserError(f"queries from {start}: {_lost(error)}; check the cluster nodes and retry") from None
        # Added up in the order of the queries: the same sums whichever part ends first.
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

    A cluster that is started here listens on 127.0.0.1 alone, and asks for a token that only this process and those it
    starts know. One that is joined must ask for a token too.

    Args:
        address: ``HOST:PORT``, or ``ray://HOST:PORT`` from a machine outside. None: what ``RAY_ADDRESS`` names, else
            the cluster of this machine, else one that is started on this machine alone and ends with the command.
            ``local``: always the latter.
        say: Shows a line to the user.
        allow_no_token: Join a cluster even where it asks for no token.

    Raises:
        UserError: There is no cluster at the address, it asks for no token, or for one that this process does not have.
    """
    _check_ray()
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_task_oom_retries", str(RETRIES))  # Ray's own default is to try without end
    name = _named(address)
    with ExitStack() as undo:
        try:
            found = _find(address)
            undo.enter_context(_joining(found, name, say, allow_no_token) if found else _starting())
            # From warnings on, what Ray says is shown: those of security are among them.
            ray.init(found or "local", include_dashboard=False, log_to_driver=False, logging_level="WARNING")
        except (ConnectionError, RayError, RuntimeError, ValueError) as error:  # nobody, another version, no address
            raise UserError(
                f"{name}: no Ray cluster can be joined ({_first_line(error)}); start one with "
                "`RAY_AUTH_MODE=token ray start --head` and name its HOST:PORT, or write --address local for one of "
                "this command's own"
            ) from None
        undo.callback(ray.shutdown)
        offers = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        yield Cluster(tuple(Node(int(offer.get("CPU", 0)), int(offer.get("GPU", 0))) for offer in offers), say)


def _check_ray() -> None:
    if find_spec("grpc") is None:
        raise UserError("--launcher ray: grpcio is not installed; install it with `pip install 'rsir-bench[cluster]'`")
    if tuple(int(number) for number in ray.__version__.split(".")[:2]) < LOWEST_RAY:
        raise UserError(
            f"--launcher ray: Ray {ray.__version__} runs the code of anyone who reaches its ports; install a newer one "
            "with `pip install 'rsir-bench[cluster]'`"
        )


def _named(address: str | None) -> str:
    if address is not None:
        return f"--address {address}"
    return f"RAY_ADDRESS {os.environ['RAY_ADDRESS']}" if os.environ.get("RAY_ADDRESS") else "cluster of this machine"


def _find(address: str | None) -> str | None:
    """Return the cluster to join as ``HOST:PORT`` or ``ray://HOST:PORT``; None where one is to be started.

    Raises:
        ConnectionError: None runs on this machine, and one must.
        ValueError: The address is malformed.
    """
    named = address or os.environ.get("RAY_ADDRESS")
    if named is None or "://" not in named:
        found: str | None = ray._private.services.canonicalize_bootstrap_address(named)
        return found
    if not named.startswith("ray://"):
        raise ValueError("neither HOST:PORT nor ray://HOST:PORT")
    return named


@contextmanager
def _starting() -> Iterator[None]:
    """Give the cluster that Ray starts meanwhile a token of its own, and keep it to this machine."""
    # Ray binds to 127.0.0.1 where it takes the machine for one that no cluster spans, as it takes every Mac. Given
    # 127.0.0.1 as its address, it would take the network card's instead. This process has read the variable by now.
    constants = ray._private.ray_constants
    before, constants.ENABLE_RAY_CLUSTER = constants.ENABLE_RAY_CLUSTER, False
    try:
        with ray_settings(
            RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=secrets.token_hex(32), RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER="0"
        ):
            yield
    finally:
        constants.ENABLE_RAY_CLUSTER = before


@contextmanager
def _joining(found: str, name: str, say: Callable[[str], object], allow_no_token: bool) -> Iterator[None]:
    """Let Ray show this process's token to a cluster that asks for one.

    Raises:
        ConnectionError: Nobody answers there.
        UserError: The cluster asks for no token, or for another one.
    """
    with ray_settings(RAY_AUTH_MODE="disabled"):
        is_open = _lets_in(found)
    if is_open and not allow_no_token:
        raise UserError(
            f"{name}: this Ray cluster asks for no token, so whoever reaches its ports runs code as its user; make one "
            "with `ray get-auth-token --generate`, copy ~/.ray/auth_token to each node and start each with "
            "RAY_AUTH_MODE=token (docs/scale.md), or add --allow-no-token"
        )
    if is_open:
        say(f"warning   {name}: this Ray cluster asks for no token; whoever reaches its ports runs code as its user")
    with ray_settings(RAY_AUTH_MODE="disabled" if is_open else "token"):
        if not is_open and not _lets_in(found):
            raise UserError(
                f"{name}: this Ray cluster asks for a token that this process does not have; copy ~/.ray/auth_token "
                "from the cluster to this machine, or set RAY_AUTH_TOKEN"
            )
        yield


@contextmanager
def ray_settings(**variables: str | None) -> Iterator[None]:
    """Set or remove variables of the environment for a time; Ray, which reads its own once, reads them again."""
    before = {name: os.environ.get(name) for name in variables}
    _set(variables)
    try:
        yield
    finally:
        _set(before)


def _set(variables: Mapping[str, str | None]) -> None:
    for name, value in variables.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
    ray._raylet.Config.initialize("")
    ray._raylet.AuthenticationTokenLoader.instance().reset_cache()


def _lets_in(found: str) -> bool:
    """Ask a cluster what Ray asks first, and return whether it answers: with a token, or without as RAY_AUTH_MODE says.

    Nothing in the environment shows what a cluster asks for, and Ray itself tries for 20 seconds where it is refused.

    Raises:
        ConnectionError: Nobody answers there.
    """
    import grpc
    from ray._private.grpc_utils import init_grpc_channel
    from ray.core.generated import gcs_service_pb2, gcs_service_pb2_grpc, ray_client_pb2, ray_client_pb2_grpc

    with init_grpc_channel(found.removeprefix("ray://"), [("grpc.enable_http_proxy", 0)]) as channel:
        try:
            if found.startswith("ray://"):
                ping = ray_client_pb2.ClusterInfoRequest(type=ray_client_pb2.ClusterInfoType.PING)
                ray_client_pb2_grpc.RayletDriverStub(channel).ClusterInfo(ping, timeout=PATIENCE)
            else:
                cluster = gcs_service_pb2_grpc.NodeInfoGcsServiceStub(channel)
                cluster.GetClusterId(gcs_service_pb2.GetClusterIdRequest(), timeout=PATIENCE)
        except ray.exceptions.AuthenticationError:  # a token is to be shown, and there is none
            return False
        except grpc.RpcError as error:
            if error.code() is grpc.StatusCode.UNAUTHENTICATED:
                return False
            raise ConnectionError(f"{error.code().name}: {error.details()}") from None
    return True


# --- on the nodes ---


def run_on_node(order: RemoteTask, sent: Sequence[Any]) -> RemoteResult:
    """Make the results of a run on a node.

    Args:
        order: What to do.
        sent: A reference to the files of the run's folder at the caller; none where there is no such folder. They are
            fetched only by a node that does not see the folder itself.
    """
    torch.set_num_threads(order.threads)
    try:
        if not order.folder.is_dir():
            raise UserError(f"no folder {order.folder} here; start in one that every node has at the same place")
        os.chdir(order.folder)
        if (order.request.out / order.mark).is_file():
            return RemoteResult(_work_off(order.request, order.key), place(), None)
        files = ray.get(list(sent))
        with tempfile.TemporaryDirectory(prefix="rsir-bench-") as name:
            failure, packed = _work_off_unshared(order, Path(name), files[0] if files else {})
            return RemoteResult(failure, place(), packed)
    except (RunError, UserError) as error:
        return RemoteResult(one_line(error), place(), None)


def measure_part(
    task: Task, part: slice, block: int, k: Sequence[int], hits: int, threads: int
) -> tuple[FloatArray, FloatArray]:
    """Measure some of the queries of a task on a node; see ``Cluster.measure``."""
    torch.set_num_threads(threads)
    return measure_queries(_as_tensors(task).part(part), block, k, hits)


def place() -> str:
    """Return this node in words: the host, and Ray's name of the node."""
    return f"{socket.gethostname()} (node {ray.get_runtime_context().get_node_id()[:8]})"


def _work_off(request: Request, key: str) -> str | None:
    plan, run = find_planned_run(request, key)
    return work_off_within_limit(plan, run)


def _work_off_unshared(order: RemoteTask, folder: Path, files: Files) -> tuple[str | None, Files]:
    """Make a run in a temporary folder of the node, going on from the caller's files; return all files."""
    plan, run = find_planned_run(replace(order.request, out=folder), order.key)
    unpack(files, run.folder)
    failure = work_off_within_limit(plan, run)
    packed = pack(run.folder)
    # The caller finds the file of a traceback in its own folder.
    return failure and failure.replace(str(folder), str(order.request.out)), packed


# --- between caller and nodes ---


def pack(folder: Path) -> Files:
    """Return every file below a run's folder, by relative path; empty where there is no folder."""
    paths = (path for path in sorted(folder.rglob("*")) if path.is_file())
    kept = (path for path in paths if path.name != ".lock" and not path.name.startswith(PARTIAL))
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in kept}


def unpack(files: Files, folder: Path) -> None:
    """Write the files of ``pack`` so that an interruption after any of them loses nothing that exists.

    Notes of trainings come late and records last, since each means that everything before it exists. A seal comes
    directly before its file.
    """

    def late(name: str) -> tuple[bool, bool, str, bool]:
        file = name.removesuffix(".sha256")
        return name.startswith("results/"), file.endswith("/trained.json"), file, name == file

    for name in sorted(files, key=late):
        path, content = folder / name, files[name]
        if path.suffix == ".sha256":
            content = seal_for_both(path.with_suffix(""), content)
        write_atomically(path, lambda unfinished, content=content: unfinished.write_bytes(content))  # type: ignore[misc]


def split(queries: int, rows: int, parts: int) -> list[slice]:
    """Split queries into at most ``parts`` parts of whole blocks of ``rows`` queries.

    Examples:
        >>> split(10, 2, 3)
        [slice(0, 4, None), slice(4, 8, None), slice(8, 10, None)]
    """
    blocks = -(-queries // rows)
    step = rows * -(-blocks // parts)
    return [slice(start, min(start + step, queries)) for start in range(0, queries, step)]


def _remote_task(plan: Plan, run: Run, mark: str, wanted: Needs) -> RemoteTask:
    request = replace(plan.request.restricted_to(run.method.requested_as, run.method.parts), seeds=[run.seed])
    return RemoteTask(request, run.key, Path.cwd(), mark, wanted.cpus)


def _sent(folder: Path) -> list[Any]:
    """Return a reference in a list: Ray then passes the reference on, not the files."""
    return [ray.put(pack(folder))] if folder.is_dir() else []


def _received(run: Run, reference: Any) -> RunOutcome:
    try:
        answer: RemoteResult = ray.get(reference)
    except RayError as error:
        return RunOutcome(run, _lost(error))
    try:
        unpack(answer.files or {}, run.folder)
    except UserError as error:  # a full disk costs this run and not those still under way
        return RunOutcome(run, str(error), answer.place)
    return RunOutcome(run, answer.failure, answer.place)


def _as_they_end(references: list[Any]) -> Iterator[Any]:
    while references:
        ended, references = ray.wait(references, num_returns=1)
        yield from ended


def _lost(error: RayError) -> str:
    return f"lost on the cluster ({type(error).__name__}: {_first_line(error)})"


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _as_arrays(part: Any) -> Any:
    """Replace tensors by arrays: Ray keeps arrays once on a node, in memory that its tasks share."""
    return _converted(part, torch.Tensor, lambda tensor: tensor.numpy())


def _as_tensors(part: Any) -> Any:
    with warnings.catch_warnings():  # shared memory is read-only, and nothing writes to a task
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")
        return _converted(part, np.ndarray, torch.from_numpy)


def _converted(part: Any, kind: type, convert: Callable[[Any], Any]) -> Any:
    values = {entry.name: getattr(part, entry.name) for entry in fields(part)}
    changed = {name: convert(value) for name, value in values.items() if isinstance(value, kind)}
    nested = {name: _converted(value, kind, convert) for name, value in values.items() if isinstance(value, Prepared)}
    return replace(part, **changed, **nested)

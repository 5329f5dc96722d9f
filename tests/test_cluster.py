"""Campaigns and scoring on a real Ray cluster of several nodes, of which one is killed."""

from __future__ import annotations

import errno
import http.client
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from conftest import Tiny
from packing import to_parquet, to_tar
from safetensors.torch import save_file

ray = pytest.importorskip("ray", reason="NO RAY: pip install -e '.[cluster]' to test campaigns on a cluster")

from ray.cluster_utils import Cluster as Nodes  # noqa: E402

from rsir_bench.base.errors import UserError  # noqa: E402
from rsir_bench.base.files import is_intact, write_sealed  # noqa: E402
from rsir_bench.ranking import Scores, score  # noqa: E402
from rsir_bench.records.schema import Record  # noqa: E402
from rsir_bench.runs.plan import make_plan  # noqa: E402
from rsir_bench.runs.runners import cluster as cluster_module  # noqa: E402
from rsir_bench.runs.runners.campaign import CampaignResult, campaign  # noqa: E402
from rsir_bench.runs.runners.cluster import (  # noqa: E402
    Cluster,
    Needs,
    Node,
    RemoteResult,
    RemoteTask,
    connected,
    needs,
    run_on_node,
    split,
)
from rsir_bench.runs.runners.nodes import (  # noqa: E402
    CarriedFiles,
    Files,
    mark_text,
    pack,
    remove_old_marks,
    unpack,
    why_not_here,
)
from rsir_bench.runs.runners.ray_access import LOWEST_RAY, ray_settings  # noqa: E402

pytestmark = pytest.mark.cluster

ONE_CPU: dict[str, Any] = {"num_cpus": 1, "object_store_memory": 80 * 2**20, "include_dashboard": False}
# Ray would take 127.0.0.1 for the address of the network card, where nothing listens here.
ONE_CPU["node_ip_address"] = "127.0.0.2"

# The first time it is trained on a node (the plan tries a step too), it tells where and waits to be killed there.
STUCK = """
import time
from pathlib import Path
import ray
from rsir_bench.methods.baseline import Baseline

class Stuck(Baseline):
    card = Baseline.card.model_copy(update={"name": "stuck"})

    def loss(self, batch):
        told, here = Path(__file__).with_name("told"), ray.get_runtime_context()
        if here.get_task_id() and not told.exists():
            told.write_text(here.get_node_id())
            time.sleep(600)
        while here.get_task_id() and any(one["Alive"] and one["NodeID"] == told.read_text() for one in ray.nodes()):
            time.sleep(0.2)  # until the cluster has noticed
        return super().loss(batch)
"""
BROKEN = """
from pathlib import Path
import ray
from rsir_bench.methods.baseline import Baseline

class Broken(Baseline):
    card = Baseline.card.model_copy(update={"name": "broken"})

    def loss(self, batch):
        with Path(__file__).with_name("tries").open("a") as tries:
            tries.write("task\\n" if ray.get_runtime_context().get_task_id() else "here\\n")
        raise ValueError("no such loss")
"""


@pytest.fixture(scope="module")
def nodes() -> Iterator[Nodes]:
    """A head that computes nothing, and two nodes of one CPU in processes of their own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("OMP_NUM_THREADS", "1")
        patch.setenv("RAY_worker_niceness", "0")  # Ray's 15 starves its workers where anything else runs
        with ray_settings(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN="c" * 64):
            running = Nodes(initialize_head=True, head_node_args={**ONE_CPU, "num_cpus": 0})
            for _ in range(2):
                running.add_node(**ONE_CPU)
            yield running
            ray.shutdown()
            running.shutdown()


@pytest.fixture(scope="module")
def open_address() -> Iterator[str]:
    """Where a cluster of one node is that asks for no token; it listens on 127.0.0.1 alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ray._private.ray_constants, "ENABLE_RAY_CLUSTER", False)
        patch.setenv("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
        with ray_settings(RAY_AUTH_MODE="disabled", RAY_AUTH_TOKEN=None):
            running = Nodes(initialize_head=True, head_node_args={**ONE_CPU, "node_ip_address": "127.0.0.1"})
        yield running.address
        running.shutdown()


@pytest.fixture
def cluster(nodes: Nodes) -> Iterator[Cluster]:
    with connected(nodes.address, lambda line: None) as joined:
        yield joined


def _told(records: list[Record]) -> list[dict[str, Any]]:
    """All that a record says but times."""
    dumped = [record.model_dump(mode="json", exclude={"created"}) for record in records]
    for record in dumped:
        record["cost"] = {name: value for name, value in record["cost"].items() if "second" not in name}
    return dumped


def _quietly(request: Any, **options: Any) -> CampaignResult:
    return campaign(request, lambda line: None, **options)


def _kill_where_it_is_stuck(told: Path, nodes: Nodes) -> None:
    while not (told.exists() and told.read_text()):
        time.sleep(0.2)
    name = told.read_text()
    nodes.remove_node(next(node for node in nodes.list_all_nodes() if node.node_id == name), allow_graceful=False)


def test_a_run_goes_on_elsewhere_when_its_node_is_killed(tiny: Tiny, nodes: Nodes, cluster: Cluster) -> None:
    plugin = tiny.folder / "stuck.py"
    plugin.write_text(STUCK)
    told = tiny.folder / "told"
    killer = threading.Thread(target=_kill_where_it_is_stuck, args=(told, nodes), daemon=True)
    killer.start()
    lines: list[str] = []
    request = tiny.request("stuck,baseline", seeds=[0, 1], plugins=[plugin])
    outcome = campaign(request, lines.append, launcher=replace(cluster, say=lines.append).launch)
    killer.join(timeout=10)
    nodes.add_node(**ONE_CPU)  # for the tests that follow
    assert not killer.is_alive()
    assert outcome.failures == {}
    assert "cluster   3 nodes, 2 CPUs, 0 GPUs; runs: 2 at a time, 1 CPUs each" in lines
    ended = [line for line in lines if line.startswith("done")]
    assert sorted(line.split(" on ")[0] for line in ended) == [
        f"done    {method} seed {seed}" for method in ("baseline", "stuck") for seed in (0, 1)
    ]
    assert [line.split()[0] for line in lines if told.read_text()[:8] in line] == ["lost"]
    again = next(line for line in ended if "stuck seed" in line)
    assert f"(node {told.read_text()[:8]})" not in again
    local = _quietly(replace(request, out=tiny.folder / "local"))
    assert _told(outcome.records) == _told(local.records)
    assert not list((tiny.folder / "runs").glob(".campaign-*"))


def test_a_method_that_raises_is_reported_as_here_and_never_tried_again(tiny: Tiny, cluster: Cluster) -> None:
    plugin = tiny.folder / "broken.py"
    plugin.write_text(BROKEN)
    request = tiny.request("broken,timm:test_resnet@none", plugins=[plugin])
    outcome = _quietly(request, launcher=cluster.launch)
    local = _quietly(replace(request, out=tiny.folder / "local"))
    here, there = str(tiny.folder / "local"), str(tiny.folder / "runs")
    assert outcome.failures == {title: line.replace(here, there) for title, line in local.failures.items()}
    assert "ValueError: no such loss (broken.py:12) (traceback in " in outcome.failures["broken seed 0"]
    assert "task" not in (tiny.folder / "tries").read_text()  # tried here, before anything is sent
    assert _told(outcome.records) == _told(local.records)


def test_scores_are_those_of_one_process(cluster: Cluster) -> None:
    chance = np.random.default_rng(0)
    labels = chance.integers(0, 7, 400)
    rows = chance.normal(size=(400, 16)).astype(np.float32)
    rows[50:60] = rows[40:50]  # equal rows tie
    lines: list[str] = []
    told = replace(cluster, say=lines.append)
    asked = {"metrics": ["recall@10", "hit@1", "mAP@20h"], "ignore": chance.integers(-1, 400, (400, 3))}
    for options in ({}, {"queries": np.arange(0, 400, 3)}, {"similarity": "euclidean"}, asked):
        _same(score(rows, labels, block=16, measure=told.measure, **options), score(rows, labels, block=16, **options))
    assert lines[0].startswith("cluster   ")
    parts, slots = map(int, re.findall(r"(\d+) parts of the queries: (\d+) at a time", lines[0])[0])
    assert slots <= parts <= 4 * slots  # a node that was killed may still count
    codes = rows > 0
    _same(score(codes, labels, codes=True, block=16, measure=told.measure), score(codes, labels, codes=True, block=16))
    apart = {"gallery": rows[:300], "gallery_labels": labels[:300], "own": np.arange(100)}
    _same(
        score(rows[300:], labels[300:], block=16, measure=told.measure, **apart),
        score(rows[300:], labels[300:], block=16, **apart),
    )


def test_scores_of_several_labels_are_those_of_one_process(cluster: Cluster) -> None:
    chance = np.random.default_rng(0)
    rows, sets = chance.normal(size=(300, 16)).astype(np.float32), chance.random((300, 6)) < 0.4
    sets[~sets.any(axis=1), 0] = True
    asked = {"block": 16, "ignore": chance.integers(-1, 300, (300, 2))}
    there, here = (score(rows, sets, measure=measure, **asked) for measure in (cluster.measure, None))
    for found in ("overall", "lower", "upper", "chance", "oracle", "per_label", "without"):
        assert getattr(there, found) == getattr(here, found), found


def _same(there: Scores, here: Scores) -> None:
    """Values of queries to the bit; the curve, summed in another order, to rounding."""
    assert (there.overall, there.lower, there.upper) == (here.overall, here.lower, here.upper)
    assert there.per_class == here.per_class
    for name, values in here.per_query.items():
        assert np.array_equal(there.per_query[name], values), name
    assert np.array_equal(there.query_index, here.query_index)
    assert np.allclose(there.curve, here.curve, rtol=1e-12, atol=0)


def test_the_command_line_joins_a_cluster(tiny: Tiny, nodes: Nodes) -> None:
    rows = np.random.default_rng(0).normal(size=(60, 4)).astype(np.float32)
    np.save(tiny.folder / "rows.npy", rows)
    np.save(tiny.folder / "labels.npy", np.arange(60) % 3)
    # An older Ray has a tip for the future.
    python = [sys.executable, "-W", "ignore::FutureWarning", "-m", "rsir_bench"]
    command = [*python, "score", "--descriptors", "rows.npy", "--labels", "labels.npy"]
    ends = [
        subprocess.run([*command, *words], cwd=tiny.folder, capture_output=True, text=True, check=False)
        for words in ([], ["--launcher", "ray", "--address", nodes.address])
    ]
    assert [end.returncode for end in ends] == [0, 0], ends[1].stderr
    assert ends[0].stdout == ends[1].stdout
    assert [line.split()[0] for line in ends[1].stderr.splitlines()] == ["cluster"]


def test_the_users_files_go_with_a_run(tiny: Tiny) -> None:
    own = tiny.folder / "own"
    own.mkdir()
    (own / "mine.py").write_text(
        "from helper import NAME\nfrom rsir_bench.methods.baseline import Baseline\n"
        "class Mine(Baseline):\n    card = Baseline.card.model_copy(update={'name': NAME})\n"
    )
    (own / "helper.py").write_text("NAME = 'mine'\n")
    (own / "tiny.toml").write_bytes(tiny.protocol.read_bytes())
    request = tiny.request("mine", plugins=[own / "mine.py"], protocol=str(own / "tiny.toml"))
    plan = make_plan(request)
    files = CarriedFiles.of(request)
    assert {Path(name).name for name in files.contents} >= {"mine.py", "helper.py", "tiny.toml"}
    assert files.placed(request, tiny.folder / "unused") is request  # all are here
    keys = [run.key for run in plan.runs]
    own.rename(tiny.folder / "caller")  # a node that has none of them
    assert "no such" in str(why_not_here(request, keys))
    assert why_not_here(files.placed(request, tiny.folder / "one"), keys) is None
    (tiny.folder / "own").mkdir()
    (own / "mine.py").write_text("1 / 0")  # and one that has another: the caller's counts
    assert why_not_here(files.placed(request, tiny.folder / "two"), keys) is None
    assert "differ from the caller's" in str(why_not_here(files.placed(request, tiny.folder / "two"), ["0" * 64]))


@pytest.mark.parametrize("pack", [to_parquet, to_tar])
def test_nodes_read_scenes_in_shards(pack: Callable[[Path, Path], Path], tiny: Tiny, cluster: Cluster) -> None:
    folder = pack(tiny.folder / "target", tiny.folder / "packed")
    target = f"{'parquet' if pack is to_parquet else 'tar'}:{folder}"
    request = tiny.request("timm:test_resnet@none", targets=[target])
    outcome = campaign(request, lambda line: None, launcher=cluster.launch)
    assert outcome.failures == {}
    local = _quietly(replace(request, out=tiny.folder / "local"))
    assert _told(outcome.records) == _told(local.records)


def test_a_node_that_lacks_the_scenes_is_named_and_left_out(tiny: Tiny, nodes: Nodes, cluster: Cluster) -> None:
    """Each node asks for a folder under its own name; only one has it."""
    lines: list[str] = []
    plan = make_plan(tiny.request())
    alive = [node["NodeID"] for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cluster_module, "ask_node", _only_on(alive[0]))
        where = replace(cluster, say=lines.append)._where(plan, CarriedFiles())
        assert [line.split()[:2] for line in lines] == [["left", "out"]] * (len(alive) - 1)
        assert all("no such folder" in line for line in lines)
        (able,) = where["scheduling_strategy"].hard
        assert (able.key, able.operator.values) == ("ray.io/node-id", [alive[0]])
        patch.setattr(cluster_module, "ask_node", _only_on(""))
        with pytest.raises(UserError, match=r"--launcher ray: .*no such folder"):
            cluster._where(plan, CarriedFiles())
    assert cluster._where(plan, CarriedFiles()) == {}


def _only_on(node: str) -> Any:
    def ask(*_: Any) -> str | None:
        return None if ray.get_runtime_context().get_node_id() == node else "folder:x: no such folder"

    return ask


def test_marks_of_killed_commands_are_removed(tmp_path: Path) -> None:
    ended = subprocess.Popen(["/bin/true"])
    ended.wait()
    own, host = mark_text(), mark_text().split()[0]
    texts = {"own": own, "dead": f"{host} {ended.pid}\n", "elsewhere": f"else {ended.pid}\n", "old": "a node\n"}
    for name, text in texts.items():
        (tmp_path / f".campaign-{name}").write_text(text)
    remove_old_marks(tmp_path)
    assert {path.name.removeprefix(".campaign-") for path in tmp_path.iterdir()} == {"own", "elsewhere", "old"}


def test_sigterm_is_one_line_and_143(tiny: Tiny) -> None:
    words = ["run", "--protocol", str(tiny.protocol), "--methods", "baseline", "--set", "train.epochs=3000"]
    words += ["--launcher", "ray", "--address", "local", "--data-root", str(tiny.folder), "--out", "runs"]
    command = [sys.executable, "-m", "rsir_bench", *words]
    program = subprocess.Popen(command, cwd=tiny.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while not list((tiny.folder / "runs").glob(".campaign-*")) and program.poll() is None:
        time.sleep(0.2)
    time.sleep(2)
    program.terminate()
    out, err = program.communicate(timeout=120)
    assert program.returncode == 143, err
    assert out == ""
    assert err.splitlines()[-1] == "ended by SIGTERM: finished runs are kept; run the same command to resume"
    assert not list((tiny.folder / "runs").glob(".campaign-*"))


def test_no_cluster_at_the_address_is_one_line() -> None:
    if ray.is_initialized():
        pytest.fail("a test left its cluster")
    said = r"--address nowhere: cannot join a Ray cluster .*`RAY_AUTH_MODE=token ray start --head`"
    with pytest.raises(UserError, match=said) as caught, connected("nowhere", lambda line: None):
        pass
    assert "\n" not in str(caught.value)


# --- who is let in ---

# It knows the port and takes 127.0.0.1 for what it is. Ray would try for 20 seconds.
SECOND = """
import sys
import ray

ray.init(sys.argv[1], logging_level="ERROR")
print("ran", ray.get(ray.remote(lambda: "a task").remote()))
"""


def _second(address: str, folder: Path, **token: str) -> subprocess.CompletedProcess[str]:
    """A process that has nothing of this one's environment tries to run a task."""
    environment = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
    environment |= {"HOME": str(folder), "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "RAY_NUM_REDIS_GET_RETRIES": "1"}
    command = [sys.executable, "-c", SECOND, address]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment | token, cwd=folder)


def _listening(folder: Path) -> set[tuple[bool, int]]:
    """Whether on loopback, and the port: of each socket that listens in this process or one with an open file there."""
    held: set[str] = set()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            opened = {str(link.readlink()) for link in (process / "fd").iterdir()}
        except OSError:  # of another user, or ended
            continue
        if process.name == str(os.getpid()) or any(name.startswith(f"{folder}/") for name in opened):
            held |= opened
    rows = [row.split() for name in ("tcp", "tcp6") for row in Path(f"/proc/net/{name}").read_text().splitlines()[1:]]
    addresses = [row[1].split(":") for row in rows if row[3] == "0A" and f"socket:[{row[9]}]" in held]
    loopback = ("0100007F", "0000000000000000FFFF00000100007F", "00000000000000000000000001000000")
    return {(address in loopback, int(port, 16)) for address, port in addresses}


def _submit_job(port: int) -> int:
    """What a port answers to an empty job without a token; 0 where it does not speak HTTP."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request("POST", "/api/job_agent/jobs/")
        return connection.getresponse().status
    except (http.client.HTTPException, ConnectionError):
        return 0


@pytest.mark.skipif(sys.platform != "linux", reason="NO LINUX: its list of sockets is read")
def test_the_cluster_of_a_run_lets_in_nobody_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    # Not in tmp_path: the paths of sockets must be short.
    with tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as name:
        folder = Path(name).resolve()
        monkeypatch.setenv("HOME", name)
        monkeypatch.setenv("RAY_TMPDIR", name)  # no cluster of this machine is found
        with connected(None, lambda line: None):
            address, token = ray.get_runtime_context().gcs_address, os.environ["RAY_AUTH_TOKEN"]
            for known in ({}, {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "f" * 64}):
                end = _second(address, tmp_path, **known)
                assert end.returncode != 0
                assert end.stdout == ""
                assert "Unauthenticated" in end.stderr
            assert _second(address, tmp_path, RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=token).stdout == "ran a task\n"
            answers: set[int] = set()
            for _ in range(100):  # the agents, which take jobs, listen late
                opened = _listening(folder)
                answers |= {_submit_job(port) for _, port in opened}
                if 401 in answers:
                    break
                time.sleep(0.5)
            assert 401 in answers
            assert answers <= {0, 401, 405}  # 405: metrics, which take nothing
            assert int(address.split(":")[1]) in {port for _, port in opened}
            assert all(loopback for loopback, _ in opened)
            files = [path for path in folder.rglob("*") if path.is_file()]
            assert files
            assert not [path for path in files if token.encode() in path.read_bytes()]
    assert os.environ.get("RAY_AUTH_TOKEN") != token


def test_a_cluster_without_a_token_is_refused_in_one_line(open_address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_AUTH_MODE", "token")  # what is set here says nothing about the cluster
    said = f"--address {open_address}: this Ray cluster asks for no token.*get-auth-token.*--allow-no-token"
    with pytest.raises(UserError, match=said) as caught, connected(open_address, lambda line: None):
        pass
    assert "\n" not in str(caught.value)
    monkeypatch.setenv("RAY_ADDRESS", open_address)
    with pytest.raises(UserError, match="asks for no token"), connected(None, lambda line: None):
        pass
    lines: list[str] = []
    with connected(open_address, lines.append, allow_no_token=True):
        assert ray.get(ray.remote(lambda: "a task").remote()) == "a task"
    warning = f"warning   --address {open_address}: this Ray cluster asks for no token"
    assert lines == [f"{warning}; anyone who reaches it can run code as its user"]


def test_warnings_reach_standard_error_and_data_alone_standard_output(open_address: str, tiny: Tiny) -> None:
    rows = np.random.default_rng(0).normal(size=(60, 4)).astype(np.float32)
    np.save(tiny.folder / "rows.npy", rows)
    np.save(tiny.folder / "labels.npy", np.arange(60) % 3)
    # Ray warns of few open files on its own.
    words = "-m rsir_bench score --descriptors rows.npy --labels labels.npy --json --launcher ray --allow-no-token"
    command = f"ulimit -n 1024 && exec {sys.executable} {words} --address {open_address}"
    end = subprocess.run(["sh", "-c", command], cwd=tiny.folder, capture_output=True, text=True, check=False)
    assert end.returncode == 0, end.stderr
    assert json.loads(end.stdout)
    assert f"warning   --address {open_address}: this Ray cluster asks for no token" in end.stderr
    assert "File descriptor limit 1024 is too low" in end.stderr


@pytest.mark.parametrize("token", [None, "f" * 64])
def test_without_the_token_of_a_cluster_one_line_says_where_it_is(
    nodes: Nodes, token: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    said = "asks for a token that this process does not have; copy ~/.ray/auth_token"
    with (
        ray_settings(RAY_AUTH_TOKEN=token),
        pytest.raises(UserError, match=said) as caught,
        connected(nodes.address, lambda line: None, allow_no_token=True),
    ):
        pass
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("word", ["127.0.0.1:1", "other://127.0.0.1:1", "ray://127.0.0.1:1"])
def test_what_is_no_cluster_is_said_at_once(word: str) -> None:
    with (
        pytest.raises(UserError, match=f"--address {word}: cannot join a Ray cluster"),
        connected(word, lambda line: None),
    ):
        pass


def test_a_ray_that_does_not_keep_others_out_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    extras = tomllib.loads(Path(__file__).parents[1].joinpath("pyproject.toml").read_text())["project"]
    assert extras["optional-dependencies"]["cluster"] == [f"ray[default]>={LOWEST_RAY[0]}.{LOWEST_RAY[1]}"]
    monkeypatch.setattr(ray, "__version__", "2.53.1")
    with pytest.raises(UserError, match=r"Ray 2\.53\.1 runs code from anyone"), connected(None, lambda line: None):
        pass


# --- on a node ---


def _ordered(tiny: Tiny, mark: str = ".not-there") -> tuple[RemoteTask, Path]:
    request = tiny.request()
    run = make_plan(request).runs[0]
    return RemoteTask(request, run.key, Path.cwd(), mark, 1), run.folder


def _answer(order: RemoteTask, files: Files | None = None) -> RemoteResult:
    """What a node of the cluster gives back."""
    sent = [] if files is None else [ray.put(files)]
    answer: RemoteResult = ray.get(ray.remote(run_on_node).remote(order, sent))
    return answer


@pytest.mark.usefixtures("cluster")
def test_a_node_that_does_not_share_the_folder_gives_the_whole_run_back(tiny: Tiny) -> None:
    order, folder = _ordered(tiny)
    answer = _answer(order)
    assert answer.failure is None
    assert answer.files is not None
    assert not folder.exists()
    unpack(answer.files, folder)
    here = _quietly(replace(order.request, out=tiny.folder / "local"))
    assert _told(_quietly(order.request).records) == _told(here.records)
    assert _answer(order, answer.files).files == answer.files  # all was there: nothing was made again, not even a date


@pytest.mark.usefixtures("cluster")
def test_a_node_that_shares_the_folder_gives_nothing_back(tiny: Tiny) -> None:
    order, folder = _ordered(tiny, ".mark")
    (tiny.folder / "runs").mkdir()
    (tiny.folder / "runs" / ".mark").write_text("")
    assert _answer(order).files is None
    assert len(list(folder.glob("results/**/*.json"))) == 2


@pytest.mark.usefixtures("cluster")
def test_what_a_node_lacks_is_told(tiny: Tiny) -> None:
    order, _ = _ordered(tiny)
    assert "no folder /nowhere here" in str(_answer(replace(order, folder=Path("/nowhere"))).failure)
    assert "code, weights or scenes here differ" in str(_answer(replace(order, key="other")).failure)


def test_weights_in_a_folder_of_their_own_are_found_by_the_node(tiny: Tiny, cluster: Cluster) -> None:
    weights = tiny.folder / "elsewhere" / "w.safetensors"
    weights.parent.mkdir()
    save_file(timm.create_model("test_resnet", num_classes=0).state_dict(), weights)
    outcome = _quietly(tiny.request(f"timm:test_resnet@{weights}"), launcher=cluster.launch)
    assert outcome.failures == {}
    assert len(outcome.records) == 1


# --- without a cluster ---


def test_an_interrupted_return_leaves_no_record_without_its_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ["results/t/a.json", "round1/descriptors/t/a.npy", "round1/trained.json", "round1/weights.safetensors"]
    files = {name: name.encode() for file in names for name in (file, f"{file}.sha256")}
    del files["round1/weights.safetensors.sha256"]  # their digest is in the note
    sealed = ["a.npy.sha256", "a.npy", "weights.safetensors", "trained.json.sha256", "trained.json"]
    expected = [*sealed, "a.json.sha256", "a.json"]
    move = Path.replace
    for written in range(len(expected)):
        folder = tmp_path / f"stopped after {written}"
        left = iter(range(written))

        def stops(self: Path, target: Path, left: Iterator[int] = left) -> Path:
            if next(left, None) is None:
                raise KeyboardInterrupt
            return move(self, target)

        with monkeypatch.context() as patch:
            patch.setattr(Path, "replace", stops)
            with pytest.raises(KeyboardInterrupt):
                unpack(files, folder)
        assert {path.name for path in folder.rglob("*") if path.is_file()} == set(expected[:written])
        unpack(files, folder)
        assert pack(folder) == files
    (folder / ".lock").touch()
    (folder / "results" / ".partial-1-a.json").touch()
    assert pack(folder) == files


def test_an_interrupted_return_leaves_the_file_that_was_there_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = tmp_path / "here" / "checkpoint.pt", tmp_path / "there" / "checkpoint.pt"
    for path, epochs in ((here, range(3)), (there, range(3, 20))):  # a seal forgets the first of so many
        for epoch in epochs:
            write_sealed(path, lambda unfinished, epoch=epoch: unfinished.write_text(str(epoch)))  # type: ignore[misc]
    move = Path.replace

    def full(self: Path, target: Path) -> Path:
        if target == here:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return move(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", full)
        with pytest.raises(UserError, match="No space left"):
            unpack(pack(there.parent), here.parent)
    assert (here.read_text(), is_intact(here)) == ("2", True)
    unpack(pack(there.parent), here.parent)
    assert (here.read_text(), is_intact(here)) == ("19", True)


def test_what_a_task_occupies() -> None:
    small, large, gpu = Node(2, 0), Node(16, 0), Node(32, 8)
    assert needs("cpu", [small, large], 4) == Needs(4, 0)
    assert Needs(4, 0).slots([small, large]) == 4
    assert needs("cpu", [small], 8) == Needs(2, 0)  # a task that fits nowhere would wait for ever
    assert needs("cuda", [small, gpu], 64) == Needs(4, 1)
    assert Needs(4, 1).slots([small, gpu]) == 8
    assert needs("cuda", [Node(2, 4)], 1) == Needs(1, 1)
    with pytest.raises(UserError, match="no node of the cluster has a GPU"):
        needs("cuda", [small], 1)
    with pytest.raises(UserError, match="no node of the cluster has a free CPU"):
        needs("cpu", [Node(0, 0)], 1)


def test_the_device_is_the_clusters_and_not_the_callers() -> None:
    with_gpu = Cluster((Node(8, 1),), print, 1)
    assert [with_gpu.find_device(name) for name in ("auto", "cuda", "cpu")] == ["cuda", "cuda", "cpu"]
    assert Cluster((Node(8, 0),), print, 1).find_device("auto") == "cpu"
    with pytest.raises(UserError, match="Ray chooses the GPU"):
        with_gpu.find_device("cuda:1")


@pytest.mark.parametrize("parts", [1, 2, 3, 7, 100])
def test_parts_are_whole_blocks_and_all_of_them(parts: int) -> None:
    cut = split(103, 10, parts)
    assert torch.cat([torch.arange(103)[part] for part in cut]).tolist() == list(range(103))
    assert len(cut) <= parts
    assert all(part.start % 10 == 0 for part in cut)

"""The training loop: schedule, freezing, determinism, resume, NaN."""

from __future__ import annotations

import csv
import subprocess
import sys
import textwrap
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import Tiny

from rsir_bench.base.errors import RunError, UserError
from rsir_bench.base.files import write_sealed
from rsir_bench.method import Method
from rsir_bench.protocol import Train
from rsir_bench.runs.plan import Plan, make_plan
from rsir_bench.scenes.batches import Scenes
from rsir_bench.scenes.pixel_cache import open_pixels
from rsir_bench.training.compiling import compiled_loss
from rsir_bench.training.device import effective_precision, find_device, make_fabric, without_expected_warnings
from rsir_bench.training.loop import Trained, make_optimizer, make_schedule, seed_everything, train


def _network(plan: Plan) -> Method:
    seed_everything(7)
    run = plan.runs[0]
    return run.method.build(plan.setup(run))


def _scenes(plan: Plan) -> Scenes:
    index = plan.datasets[plan.protocol.data.source]
    return Scenes.of(open_pixels(index, plan.runs[0].transform), index.labels)


def _train(plan: Plan, folder: Path, seed: int = 0) -> tuple[Method, Trained]:
    network = _network(plan)
    fabric = make_fabric("cpu", plan.protocol.train.precision)
    return network, train(network, _scenes(plan), fabric, folder, (seed,), "tiny")


def _plugin(folder: Path, body: str) -> Path:
    """A method called ``own``: the baseline, with these lines in its class."""
    plugin = folder / "own.py"
    plugin.write_text(
        "import numpy as np\n"
        "import torch\n"
        "from pathlib import Path\n"
        "from rsir_bench.methods.baseline import Baseline\n"
        "class Own(Baseline):\n"
        "    card = Baseline.card.model_copy(update={'name': 'own'})\n" + textwrap.indent(textwrap.dedent(body), "    ")
    )
    return plugin


def _equal(one: Method, other: Method) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True))


def test_same_seed_same_network_other_seed_another(tiny: Tiny, tmp_path: Path) -> None:
    plan = make_plan(tiny.request())
    first, _ = _train(plan, tmp_path / "a")
    again, _ = _train(plan, tmp_path / "b")
    other, _ = _train(plan, tmp_path / "c", seed=1)
    assert _equal(first, again)
    assert not _equal(first, other)


def test_an_interrupted_training_ends_like_an_uninterrupted_one(tiny: Tiny, tmp_path: Path) -> None:
    stop = tmp_path / "stop"
    body = f"""
        calls = 0
        def loss(self, batch):
            self.calls += 1
            if self.calls == 5 and Path({str(stop)!r}).exists():  # the middle of the second epoch of three batches
                raise KeyboardInterrupt
            return super().loss(batch)
    """
    plan = make_plan(tiny.request("jsst+own", plugins=[_plugin(tmp_path, body)], overrides=["train.epochs=3"]))
    whole, trained = _train(plan, tmp_path / "whole")
    stop.touch()
    with pytest.raises(KeyboardInterrupt):
        _train(plan, tmp_path / "cut")
    stop.unlink()
    resumed, trained_again = _train(plan, tmp_path / "cut")
    assert _equal(whole, resumed)
    assert trained_again.loss == trained.loss
    assert trained_again.epochs == trained.epochs == 3


def test_a_resumed_round_keeps_its_pseudo_labels(tiny: Tiny, tmp_path: Path) -> None:
    """Another processor may label other scenes."""
    steady = ["train.schedule=steps", "train.milestones=[]"]
    plan = make_plan(tiny.request(overrides=[*steady, "train.epochs=1"]))
    _, first = _train(plan, tmp_path)
    longer = make_plan(tiny.request(overrides=[*steady, "train.epochs=2"]))
    network, scenes = _network(longer), _scenes(longer)
    fewer = scenes.take(np.arange(5), torch.zeros(5, dtype=torch.int64))
    again = train(network, fewer, make_fabric("cpu", "32"), tmp_path, (0,), "tiny")
    assert again.scenes == first.scenes == len(scenes)
    checkpoint = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    assert torch.equal(checkpoint["scenes"]["labels"], scenes.labels)
    assert [row["images"] for row in checkpoint["log"]] == [len(scenes)] * 2


def test_the_sessions_of_a_training_are_kept_and_those_without_an_epoch_are_none(tiny: Tiny, tmp_path: Path) -> None:
    steady = ["train.schedule=steps", "train.milestones=[]"]
    found = []
    for epochs, place in ((1, "a"), (2, "a"), (3, "b"), (3, "c"), (4, "a")):
        plan = make_plan(tiny.request(overrides=[*steady, f"train.epochs={epochs}"]))
        fabric = make_fabric("cpu", "32")
        trained = train(_network(plan), _scenes(plan), fabric, tmp_path, (0,), "tiny", session={"device": place})
        found.append([session["device"] for session in trained.sessions])
    assert found == [["a"], ["a"], ["a", "b"], ["a", "b"], ["a", "b", "a"]]


def test_a_checkpoint_without_sessions_is_resumed(tiny: Tiny, tmp_path: Path) -> None:
    """An older version kept none."""
    plan = make_plan(tiny.request())
    _train(plan, tmp_path)
    path = tmp_path / "checkpoint.pt"
    older = {name: value for name, value in torch.load(path, weights_only=True).items() if name != "sessions"}
    write_sealed(path, lambda unfinished: torch.save(older, unfinished))
    resumed = train(_network(plan), _scenes(plan), make_fabric("cpu", "32"), tmp_path, (0,), "tiny", session={"a": "b"})
    assert (resumed.epochs, resumed.sessions) == (2, [{"a": "b"}])


def test_figures_of_any_number_type_are_resumed(tiny: Tiny, tmp_path: Path) -> None:
    body = """
        def epoch_metrics(self):
            return {"figure": np.float64(0.5)}
    """
    plan = make_plan(tiny.request("own", plugins=[_plugin(tmp_path, body)]))
    _train(plan, tmp_path)
    (tmp_path / "log.csv").unlink()  # as a kill between checkpoint and log leaves it
    _, trained = _train(plan, tmp_path)
    assert trained.epochs == 2
    assert [row["figure"] for row in csv.DictReader((tmp_path / "log.csv").open())] == ["0.5", "0.5"]


def test_an_epoch_of_more_batches_than_the_schedule_is_laid_out_for_is_named(tiny: Tiny, tmp_path: Path) -> None:
    body = """
        calls = 0
        def batches(self, *_):
            self.calls += 1
            return list(torch.arange(24).tensor_split(4 if self.calls == 3 else 3))
    """
    plan = make_plan(tiny.request("own", plugins=[_plugin(tmp_path, body)]))
    with pytest.raises(RunError, match=r"tiny, epoch 2: batches\(\) returns 4 batches, but the schedule is for 3"):
        _train(plan, tmp_path)


def test_a_damaged_checkpoint_is_named(tiny: Tiny, tmp_path: Path) -> None:
    plan = make_plan(tiny.request())
    (tmp_path / "checkpoint.pt").write_bytes(b"PK\x03\x04 half a checkpoint")
    with pytest.raises(RunError, match=r"checkpoint\.pt: damaged .*; delete it to train again"):
        _train(plan, tmp_path)


def test_a_checkpoint_of_the_method_as_it_was_is_one_line(tiny: Tiny, tmp_path: Path) -> None:
    """A plugin that was edited between a kill and the same command again."""
    _train(make_plan(tiny.request()), tmp_path)
    said = r"checkpoint\.pt: does not fit the method as it is now \(.*\); raise its version$"
    with pytest.raises(UserError, match=said) as caught:
        _train(make_plan(tiny.request(overrides=["head.fc1=8"])), tmp_path)
    assert "\n" not in str(caught.value)


def test_the_log_holds_an_epoch_a_line_with_loss_rate_and_the_methods_own_figures(tiny: Tiny, tmp_path: Path) -> None:
    plan = make_plan(tiny.request("jsst"))
    _, trained = _train(plan, tmp_path)
    with (tmp_path / "log.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert float(rows[-1]["loss"]) == pytest.approx(trained.loss, rel=1e-5)
    assert 0 < float(rows[0]["rate"]) <= 0.05
    assert float(rows[0]["theta_s1"]) == pytest.approx(1, abs=0.2)
    assert float(rows[0]["theta_s1_spread"]) > 0


def test_training_lowers_the_loss(tiny: Tiny, tmp_path: Path) -> None:
    plan = make_plan(tiny.request(overrides=["train.epochs=12"]))
    _train(plan, tmp_path)
    with (tmp_path / "log.csv").open() as stream:
        losses = [float(row["loss"]) for row in csv.DictReader(stream)]
    assert losses[-1] < 0.5 * losses[0]


@pytest.mark.parametrize("compiler", ["eager", pytest.param("inductor", marks=pytest.mark.nightly)])
@pytest.mark.parametrize("method", ["baseline", "jsst"])
def test_a_compiled_step_computes_the_same_losses(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str, compiler: str
) -> None:
    """The eager compiler traces like the usual one, but generates no code, which would take a minute."""
    compile_with, calls = torch.compile, []

    def compile_and_count(loss, **options):
        calls.append(loss)
        return compile_with(loss, backend=compiler, **options)

    monkeypatch.setattr(torch, "compile", compile_and_count)
    plan = make_plan(tiny.request(method))
    _, usual = _train(plan, tmp_path / "usual")
    assert not calls
    network = _network(plan)
    fabric = make_fabric("cpu", plan.protocol.train.precision)
    compiled = train(network, _scenes(plan), fabric, tmp_path / "compiled", (0,), "tiny", compiled=True)
    assert len(calls) == 1
    assert compiled.loss == pytest.approx(usual.loss, rel=1e-3)
    assert "loss" not in vars(network)  # the network can be saved and copied as before


class _Dropping:
    def loss(self, batch: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.dropout(batch, 0.5).sum()


@pytest.mark.nightly
def test_a_compiled_step_draws_the_same_random_numbers() -> None:
    method, values = _Dropping(), torch.rand(32, 64, generator=torch.Generator().manual_seed(0))
    seed_everything(1)
    usual = method.loss(values).item()
    with compiled_loss(method, True):
        seed_everything(1)
        assert method.loss(values).item() == pytest.approx(usual, rel=1e-5)


def test_where_no_code_can_be_generated_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from torch._inductor.exc import InductorError

    def compiled(batch: torch.Tensor) -> torch.Tensor:
        raise InductorError(RuntimeError("No working C++ compiler found"), lambda: None)

    monkeypatch.setattr(torch, "compile", lambda loss, **options: compiled)
    method = _Dropping()
    expected = r"--compile: no code can be generated here; install a C\+\+ compiler .*No working C\+\+ compiler"
    with pytest.raises(UserError, match=expected), compiled_loss(method, True):
        method.loss(torch.zeros(1))
    assert "loss" not in vars(method)


def test_nan_loss_stops_the_run_and_names_it(tiny: Tiny, tmp_path: Path) -> None:
    body = """
        def loss(self, batch):
            return super().loss(batch) * torch.nan
    """
    plan = make_plan(tiny.request("own", plugins=[_plugin(tmp_path, body)]))
    with pytest.raises(RunError, match=r"tiny, epoch 1: loss is nan at rate .*; lower train.rate"):
        _train(plan, tmp_path)


def test_frozen_parts_and_their_statistics_stay_while_the_rest_moves(tiny: Tiny, tmp_path: Path) -> None:
    plan = make_plan(tiny.request(overrides=['trunk.frozen=["conv1", "bn1", "layer1"]']))
    before = {name: value.clone() for name, value in _network(plan).state_dict().items()}
    after, _ = _train(plan, tmp_path)
    moved = {name for name, value in after.state_dict().items() if not torch.equal(value, before[name])}
    frozen = {
        name
        for name in before
        if name.startswith(("trunk.backbone.conv1", "trunk.backbone.bn1", "trunk.backbone.layer1"))
    }
    assert frozen
    assert moved == set(before) - frozen


def test_the_papers_schedule() -> None:
    recipe = Train(epochs=40, rate=1e-3, schedule="steps", milestones=[16, 31])
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=recipe.rate)
    schedule = make_schedule(optimizer, recipe, steps=3)
    rates = []
    for _ in range(40):
        rates.append(optimizer.param_groups[0]["lr"])
        for _ in range(3):
            optimizer.step()
            schedule.step()
    assert rates == pytest.approx([1e-3] * 15 + [1e-4] * 15 + [1e-5] * 10)


def test_one_cycle_rises_to_the_rate_and_falls_to_nothing() -> None:
    recipe = Train(epochs=10, rate=0.08, schedule="one-cycle", warmup=0.3)
    parameters = [torch.nn.Parameter(torch.zeros(1)) for _ in range(2)]
    optimizer = torch.optim.SGD([{"params": [parameters[0]], "lr": 0.08}, {"params": [parameters[1]], "lr": 0.008}])
    schedule = make_schedule(optimizer, recipe, steps=10)
    rates = []
    for _ in range(100):
        rates.append([group["lr"] for group in optimizer.param_groups])
        optimizer.step()
        schedule.step()
    high, low = zip(*rates, strict=True)
    assert max(high) == pytest.approx(0.08)
    assert high.index(max(high)) in range(28, 31)
    assert high[-1] < 1e-4
    assert low == pytest.approx([value / 10 for value in high])


@pytest.mark.parametrize(("epochs", "steps", "warmup"), [(2, 2, 0.25), (1, 10, 0.1), (1, 20, 0.05), (1, 20, 0.01)])
def test_a_warm_up_of_one_step_or_less_is_none(epochs: int, steps: int, warmup: float) -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
    schedule = make_schedule(optimizer, Train(epochs=epochs, rate=0.1, schedule="one-cycle", warmup=warmup), steps)
    rates = []
    for _ in range(epochs * steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    assert rates == sorted(rates, reverse=True)
    assert rates[0] > 0.08


def test_the_optimizer_gets_each_group_with_its_rate_and_decay_and_no_frozen_parameter(tiny: Tiny) -> None:
    plan = make_plan(tiny.request("jsst", overrides=['trunk.frozen=["conv1"]', "train.weight_decay=0.01"]))
    network = _network(plan)
    groups = make_optimizer(network, plan.protocol.train).param_groups
    assert [group["lr"] for group in groups] == pytest.approx([0.0005, 0.0005, 0.05])
    assert [group["weight_decay"] for group in groups] == [0.01, 0, 0.01]
    held = {id(parameter) for group in groups for parameter in group["params"]}
    assert held == {id(parameter) for parameter in network.parameters() if parameter.requires_grad}
    assert not held & {id(parameter) for parameter in network.inner.trunk.backbone.conv1.parameters()}


def test_auto_precision_is_bf16_only_where_the_device_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for native in (True, False):
        monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda native=native: native)
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
        assert effective_precision("auto", "cpu") == ("bf16" if native else "32")
    assert effective_precision("bf16", "cpu") == "bf16"


def test_devices() -> None:
    assert find_device("cpu") == "cpu"
    assert find_device("auto") == ("cuda" if torch.cuda.is_available() else "cpu")
    for wrong in ("gpu", "cpu:1", "cuda:x"):
        with pytest.raises(UserError, match="unknown; known: auto, cpu, cuda, cuda:N, mps"):
            find_device(wrong)
    with pytest.raises(UserError, match=r"this machine has \d+ CUDA devices"):
        find_device("cuda:99")


def test_importing_the_loop_leaves_the_filters_of_warnings_alone() -> None:
    code = "import warnings, torch, rsir_bench.method; before = list(warnings.filters)\n"
    code += "import rsir_bench.training.loop; assert warnings.filters == before"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_warnings_that_training_expects_are_not_shown(recwarn: pytest.WarningsRecorder) -> None:
    with without_expected_warnings():
        warnings.warn("cumsum_cuda_kernel does not have a deterministic implementation, but", stacklevel=1)
        warnings.warn("another", stacklevel=1)
    assert [str(warning.message) for warning in recwarn] == ["another"]

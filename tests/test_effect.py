"""What a front end does is measured: how far it moves scenes, how much it changes values, what is scored without it."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import Tiny
from tiny import some_scenes, tiny_method, tiny_setup

from rsir_bench.base.errors import RunError
from rsir_bench.leaderboard import terminal_table
from rsir_bench.method.composition import Composed, compose
from rsir_bench.method.plugins import import_plugins
from rsir_bench.method.registry import discover
from rsir_bench.ranking import score
from rsir_bench.records.schema import EffectPart, Record
from rsir_bench.records.store import read_record, read_records
from rsir_bench.runs.artifacts.chain import RunArtifacts
from rsir_bench.runs.plan import make_plan
from rsir_bench.runs.runners.campaign import campaign
from rsir_bench.scenes.pixel_cache import open_pixels
from rsir_bench.training.describe import fit_reduction
from rsir_bench.training.effect import SceneEffects, effects_of, measure_effect

FRONTS = '''
import torch
from rsir_bench.method import FrontEnd, FrontEndCard
from rsir_bench.nn.warp import affine_grid, distances, sample


def card(name):
    return FrontEndCard(name=name, title=name, paper="none", year=2026, choices=["all"], learned=False)


class Same(FrontEnd):
    card = card("same")
    def forward(self, scenes):
        return scenes


class Gain(FrontEnd):
    card = card("gain")
    def forward(self, scenes):
        return 1.1 * scenes


class Shift(FrontEnd):
    """Samples three pixels to the right."""
    card = card("shift")
    def grid(self, scenes):
        theta = scenes.new_tensor([[1, 0, 2 * 3 / scenes.shape[3], 0, 1, 0]]).expand(len(scenes), -1)
        return affine_grid(theta.reshape(-1, 2, 3), scenes)
    def forward(self, scenes):
        return sample(scenes, self.grid(scenes))
    def displacement(self, scenes):
        return distances(self.grid(scenes))


class Turns(FrontEnd):
    """The mean of the four quarter turns."""
    card = card("turns")
    def forward(self, scenes):
        return torch.stack([torch.rot90(scenes, turn, (2, 3)) for turn in range(4)]).mean(0)
    def displacement(self, scenes):
        return None


class Blank(FrontEnd):
    card = card("blank")
    def forward(self, scenes):
        return 0 * scenes


class Far(FrontEnd):
    card = card("far")
    def forward(self, scenes):
        return scenes + 1e20
    def displacement(self, scenes):
        return 1e20 * scenes.new_ones(len(scenes))


class Negative(FrontEnd):
    card = card("negative")
    def forward(self, scenes):
        return scenes
    def displacement(self, scenes):
        return -scenes.new_ones(len(scenes))
'''


@pytest.fixture
def fronts(tmp_path: Path) -> Path:
    path = tmp_path / "fronts.py"
    path.write_text(FRONTS)
    return path


def front(name: str, fronts: Path) -> Composed:
    """A front end of the file before the baseline."""
    ((_, module),) = import_plugins([fronts])
    kind = compose(getattr(module, name), discover()["baseline"].method_class, alone=True)
    setup = tiny_setup()
    built = kind(setup, type("Both", (), {"front": None, "inner": None})())
    assert isinstance(built, Composed)
    return built.eval()


def measured(name: str, fronts: Path, scenes: torch.Tensor) -> SceneEffects:
    return effects_of(front(name, fronts), scenes)


def test_a_front_end_that_changes_nothing_has_no_effect(fronts: Path) -> None:
    found = measured("Same", fronts, some_scenes(4))
    assert found.displacement is not None
    assert found.displacement.tolist() == found.change.tolist() == [0] * 4
    assert not found.lost.any()


def test_a_shift_of_three_pixels_moves_scenes_by_three(fronts: Path) -> None:
    found = measured("Shift", fronts, some_scenes(4))
    assert found.displacement == pytest.approx([3] * 4, abs=1e-5)
    assert not found.lost.any()


def test_a_gain_changes_values_by_a_tenth_of_their_mean(fronts: Path) -> None:
    scenes = some_scenes(4)
    found = measured("Gain", fronts, scenes)
    assert found.change == pytest.approx(0.1 * scenes.mean((1, 2, 3)).numpy(), rel=1e-6)
    assert found.displacement is not None
    assert not found.displacement.any()
    assert not found.lost.any()


def test_a_mean_over_views_has_no_displacement_and_says_so(fronts: Path) -> None:
    scenes = some_scenes(4)
    found = measured("Turns", fronts, scenes)
    assert found.displacement is None
    turned = torch.stack([torch.rot90(scenes, turn, (2, 3)) for turn in range(4)]).mean(0)
    assert found.change == pytest.approx((turned - scenes).abs().mean((1, 2, 3)).numpy(), rel=1e-5)


def test_blank_scenes_are_lost_but_for_those_that_were_blank(fronts: Path) -> None:
    scenes = some_scenes(4)
    scenes[1] = 0.5
    assert measured("Blank", fronts, scenes).lost.tolist() == [True, False, True, True]


def test_a_displacement_below_zero_is_refused(fronts: Path) -> None:
    with pytest.raises(RunError, match=r"displacement\(\) returned -1 to -1; return finite pixels"):
        measured("Negative", fronts, some_scenes(4))


def test_displacements_of_several_front_ends_are_added() -> None:
    wallis = tiny_method("wallis+jsst", tiny_setup(), jsst={"spread": 0.0})
    jsst = wallis.inner
    assert isinstance(wallis, Composed)
    assert isinstance(jsst, Composed)
    assert wallis.front_ends == [wallis.front, jsst.front]
    assert wallis.without_front_end is jsst.inner
    with torch.no_grad():
        jsst.front.transformation.networks[0].regression.bias[2] = 2 * 5 / 32  # five of 32 pixels
    scenes = some_scenes(3)
    found = effects_of(wallis.eval(), scenes)
    assert found.displacement == pytest.approx([5] * 3, abs=1e-5)
    converted = jsst.front(wallis.front(scenes))
    assert found.change == pytest.approx((converted - scenes).abs().mean((1, 2, 3)).detach().numpy(), rel=1e-5)


@pytest.mark.parametrize("name", ["jsst", "jsst-tps", "jsst-gamma", "jsst-spec-spat", "jsst-hybrid", "jsst-pgn-i"])
def test_next_to_the_identity_it_hardly_acts_and_nothing_is_lost(name: str) -> None:
    found = effects_of(tiny_method(name, tiny_setup()).eval(), some_scenes(6))
    assert found.displacement is not None
    assert 0 < found.displacement.max() < 0.5
    assert 0 < found.change.max() < 0.02
    assert not found.lost.any()


@pytest.mark.parametrize("parameter", range(10))
def test_one_parameter_of_1e8_loses_every_scene(parameter: int) -> None:
    method = tiny_method("jsst", tiny_setup()).eval()
    with torch.no_grad():
        method.front.transformation.networks[0].regression.bias[parameter] = 1e8
    assert effects_of(method, some_scenes(6)).lost.all()


def test_batches_are_measured_as_one(fronts: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (70, 32, 32, 3), np.uint8)  # more than a batch takes
    found = measure_effect(front("Gain", fronts), pixels, torch.device("cpu"), "measuring")
    assert found.displacement is not None
    assert len(found.displacement) == len(found.lost) == 70
    assert found.change == pytest.approx(0.1 * (pixels / 255).mean((1, 2, 3)), rel=1e-6)


# --- in a run ---


def records(tiny: Tiny, methods: str, fronts: Path, **changes: object) -> list[Record]:
    outcome = campaign(tiny.request(methods, plugins=[fronts], **changes), lambda line: None)
    assert not outcome.failures
    return outcome.records


def test_the_identity_switched_off_has_the_same_scores(tiny: Tiny, fronts: Path) -> None:
    made = records(tiny, "same+dhn,same", fronts)
    assert {one.row.kind for one in made} == {"code", "real", "pca"}
    for one in made:
        assert one.effect == EffectPart(metrics=one.metrics, displacement=0, change=0)
        (path,) = (tiny.folder / "runs").rglob(f"results/**/*-{one.key[:8]}.json")
        assert read_record(path).effect == one.effect


def test_a_front_end_switched_off_is_the_same_network_and_components(tiny: Tiny, fronts: Path) -> None:
    request = tiny.request("shift", plugins=[fronts], overrides=['describe.pca_fit=["source", "target"]'])
    made = campaign(request, lambda line: None).records
    plan = make_plan(request)
    (run,) = plan.runs
    artifacts = RunArtifacts(plan, run)
    network = artifacts.network().load().eval()
    assert isinstance(network, Composed)
    index = plan.datasets[run.cells[0].target]
    pixels = np.array(open_pixels(index, run.transform))
    with torch.inference_mode():
        given = network.inner.describe(torch.tensor(pixels).permute(0, 3, 1, 2) / 255)
        raw = {name: rows.numpy() for name, rows in given.items()}
    assert len(made) == 3
    for one in made:
        assert one.effect is not None
        assert one.effect.displacement == pytest.approx(3, abs=1e-5)
        assert one.effect.metrics != one.metrics
        rows = raw[one.row.descriptor]
        if one.row.fit == "source":
            cell = next(cell for cell in run.cells if cell.fit == "source")
            rows = artifacts.components(cell).load()(rows)
        elif one.row.fit == "target":
            rows = fit_reduction(rows, 4)(rows)
        assert one.effect.metrics.keys() == one.metrics.keys()
        expected = score(rows, index.labels).overall
        assert {name: one.effect.metrics[name] for name in expected} == pytest.approx(expected, abs=1e-5)


def test_blanking_every_scene_is_said_in_the_log_the_record_and_the_table(
    tiny: Tiny, fronts: Path, caplog: pytest.LogCaptureFixture
) -> None:
    said = "the front end has run away: 18 of 18 scenes are blank, out of the frame or far out of range"
    with caplog.at_level(logging.WARNING):
        made = records(tiny, "blank", fronts)
    for one in made:
        assert one.effect is not None
        assert one.effect.lost == 18
        assert said in one.doubts
    assert f"blank seed 0 on {tiny.target}: {said}" in caplog.text
    assert said in terminal_table(made)
    assert "!" in terminal_table(made)


def test_a_front_end_that_ran_away_leaves_records_that_can_be_read(tiny: Tiny, fronts: Path) -> None:
    made = records(tiny, "far", fronts)
    assert {(one.effect.lost, one.effect.displacement, one.effect.change) for one in made if one.effect} == {
        (18, 1e6, 1e6)
    }
    assert read_records([tiny.folder / "runs"]) == made


def test_no_effect_without_a_front_end_nor_on_distorted_scenes(tiny: Tiny, fronts: Path) -> None:
    made = records(tiny, "baseline,gain", fronts, distortions=["haze:3"])
    has = {(one.method.name, one.distortion is not None): one.effect is not None for one in made}
    assert has == {
        ("baseline", False): False,
        ("baseline", True): False,
        ("gain", False): True,
        ("gain", True): False,
    }
    costs = [one.cost["describe_images_per_second"] for one in made if one.method.name == "gain"]
    assert costs == [costs[0]] * 4  # of the pass with the front end


def test_a_lost_record_gets_the_same_effect_again(tiny: Tiny, fronts: Path) -> None:
    first = {one.key: one for one in records(tiny, "shift", fronts)}
    lost = next((tiny.folder / "runs").rglob("results/**/PCA-*.json"))
    lost.unlink()
    lost.with_name(lost.name + ".sha256").unlink(missing_ok=True)
    again = {one.key: one for one in records(tiny, "shift", fronts)}
    assert {key: one.effect for key, one in again.items()} == {key: one.effect for key, one in first.items()}


def test_a_displacement_that_is_none_is_found_before_the_training(tiny: Tiny, fronts: Path) -> None:
    outcome = campaign(tiny.request("negative", plugins=[fronts]), lambda line: None)
    assert "displacement() returned -1 to -1" in str(outcome.failures)
    assert not list((tiny.folder / "runs").rglob("log.csv"))

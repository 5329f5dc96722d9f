from __future__ import annotations

import csv
import json
import shutil

import numpy as np
import pytest
import torch
from conftest import Tiny, write_scenes
from safetensors.torch import load_file, save_file
from tiny import CLASSES, SIZE, message, some_batch, some_scenes, tiny_method, tiny_protocol, tiny_setup

from rsir_bench.method.registry import discover, resolve
from rsir_bench.methods.self_training import SelfTraining, predict, reliable
from rsir_bench.records.paper import PAPER_TABLES, published
from rsir_bench.records.store import read_records
from rsir_bench.runs.artifacts.chain import RunArtifacts
from rsir_bench.runs.plan import make_plan
from rsir_bench.runs.runners.campaign import campaign
from rsir_bench.scenes.batches import Scenes
from rsir_bench.training.device import make_fabric
from rsir_bench.training.loop import loss_terms

NAME = "self-training"


def build(name: str = NAME, seed: int = 0, **settings: float | None) -> SelfTraining:
    return tiny_method(name, tiny_setup(), seed, **{NAME: settings})


def source() -> Scenes:
    pixels = np.random.default_rng(0).integers(0, 256, (20, SIZE, SIZE, 3), np.uint8)
    return Scenes.of(pixels, np.arange(20) % CLASSES)


def pool(count: int = 70) -> Scenes:
    smooth = (some_scenes(count, seed=5) * 255).byte().permute(0, 2, 3, 1).numpy()
    return Scenes.of(smooth, np.full(count, -1))


# --- the card ---


def test_rows_name_the_published_iterations():
    table = next(table for table in PAPER_TABLES if table.name == "VIII")
    printed = {(entry.row.method, entry.row.variant) for entry in published(table) if entry.row.pooling == "PCA"}
    rows = SelfTraining.card.rows
    assert all(row.paper in printed for row in rows.values())
    assert len({row.paper for row in rows.values()}) == 3
    assert [row.paper[1][:10] for row in rows.values()] == ["iteration1", "iteration2", "iteration3"]
    assert [row.round for row in rows.values()] == [2, 3, None]
    assert SelfTraining.rounds == 4
    assert rows["PCA"].paper[1].startswith("iteration3")


def test_settings_on_the_command_line():
    protocol = tiny_protocol(f"methods.{NAME}.threshold=0.9", f"methods.{NAME}.per_class=7")
    method = resolve(NAME, discover(), protocol.methods, {})
    assert (method.settings.threshold, method.settings.per_class) == (0.9, 7)
    assert resolve(NAME, discover(), {}, {}).settings.threshold == 0.85
    for settings in ({"threshold": 1.5}, {"per_class": 0}):
        assert "self-training" in message(lambda settings=settings: resolve(NAME, discover(), {NAME: settings}, {}))


# --- which scenes are pseudo-labelled ---


def slow_selection(
    confidence: torch.Tensor, labels: torch.Tensor, threshold: float, per_class: int | None
) -> list[int]:
    chosen = []
    for label in range(int(labels.max()) + 1):
        sure = []
        for scene in range(len(labels)):
            if labels[scene] == label and confidence[scene] > threshold:
                sure.append((-confidence[scene].item(), scene))
        chosen += [scene for _, scene in sorted(sure)[:per_class]]
    return sorted(chosen)


@pytest.mark.parametrize("per_class", [None, 1, 4, 100])
@pytest.mark.parametrize("threshold", [0.0, 0.3, 0.85, 0.95, 1.0])
def test_the_selection_against_a_loop(threshold, per_class):
    chance = torch.Generator().manual_seed(3)
    # Confidences in steps of .05: many are equal, and some lie exactly on the threshold.
    confidence = torch.randint(0, 21, (200,), generator=chance).double() / 20
    labels = torch.randint(0, 6, (200,), generator=chance)
    labels[labels == 3] = 4  # a class without scenes
    chosen = reliable(confidence, labels, threshold, per_class)
    assert chosen.dtype == torch.int64
    assert chosen.tolist() == slow_selection(confidence, labels, threshold, per_class)


def test_the_threshold_must_be_exceeded():
    confidence, labels = torch.tensor([0.85, 0.8500001, 0.84], dtype=torch.float64), torch.zeros(3, dtype=torch.int64)
    assert reliable(confidence, labels, 0.85).tolist() == [1]


def test_predictions_are_those_of_each_scene_alone():
    network, scenes = build().eval(), pool()
    confidence, labels = predict(network, scenes)
    assert confidence.shape == labels.shape == (70,)
    assert not confidence.requires_grad
    for number in range(0, 70, 9):
        alone = scenes.batch(torch.tensor([number]), torch.device("cpu")).scenes
        logits = network.describe(alone)["FC"][0].double()
        probabilities = logits.exp() / logits.exp().sum()
        assert confidence[number].item() == pytest.approx(probabilities.max().item(), abs=1e-5)
        assert labels[number] == probabilities.argmax()


# --- training sets ---


@pytest.mark.parametrize("name", [NAME, f"jsst+{NAME}", f"histeq+{NAME}"])
def test_a_student_is_trained_on_what_its_teacher_is_sure_of(name):
    teacher = build(name).eval()
    confidence, labels = predict(teacher, pool())
    threshold = confidence.median().item()
    student = build(name, threshold=threshold)
    assert len(student.training_set(1, None, source(), pool())) == 20
    assert student.epoch_metrics().items() >= {"pseudo_labelled": 0, "pseudo_classes": 0}.items()
    sure = [scene for scene in range(70) if confidence[scene].item() > threshold]
    assert 10 < len(sure) < 60
    scenes = student.training_set(2, teacher, source(), pool())
    assert torch.equal(scenes.labels, torch.cat([source().labels, labels[sure]]))
    assert torch.equal(scenes.pixels(np.arange(20)), source().pixels(np.arange(20)))
    assert torch.equal(scenes.pixels(np.arange(20, 20 + len(sure))), pool().pixels(np.array(sure)))
    figures = {"pseudo_labelled": len(sure), "pseudo_classes": len(labels[sure].unique())}
    assert student.epoch_metrics().items() >= figures.items()
    assert scenes.labels.min() >= 0


def test_a_pool_of_which_nothing_passes():
    student = build(threshold=1.0)
    scenes = student.training_set(2, build().eval(), source(), pool())
    assert len(scenes) == 20
    assert torch.equal(scenes.labels, source().labels)
    assert torch.equal(scenes.batch(torch.arange(20), torch.device("cpu")).labels, source().labels)
    assert student.epoch_metrics() == {"pseudo_labelled": 0, "pseudo_classes": 0}
    assert len(build(threshold=1.0, per_class=3).training_set(2, build().eval(), source(), pool())) == 20


def test_the_set_grows_as_the_threshold_falls_and_as_the_teacher_learns():
    teacher = build().eval()
    sizes = [
        len(build(threshold=threshold).training_set(2, teacher, source(), pool()))
        for threshold in (1.0, *predict(teacher, pool())[0].quantile(torch.tensor([0.8, 0.4])).tolist(), 0.0)
    ]
    assert sizes == sorted(set(sizes))
    assert (sizes[0], sizes[-1]) == (20, 90)
    student = build(threshold=0.85)
    before = len(student.training_set(2, teacher, source(), pool()))
    overfit(teacher.train())
    after = len(student.training_set(3, teacher.eval(), source(), pool()))
    assert before == 20 < after


# --- the network ---


def overfit(method: SelfTraining, steps: int = 30) -> list[float]:
    optimizer = torch.optim.SGD(method.parameters(), 0.05, momentum=0.9)
    batch, losses = some_batch(32), []
    for _ in range(steps):
        loss = method.loss(batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def test_it_is_the_plain_network():
    ours, plain = build().eval(), tiny_method("baseline", tiny_setup()).eval()
    assert set(ours.state_dict()) == set(plain.state_dict())
    assert all(torch.equal(value, plain.state_dict()[name]) for name, value in ours.state_dict().items())
    batch = some_batch()
    assert torch.equal(ours.loss(batch), plain.loss(batch))
    assert all(
        torch.equal(ours.describe(batch.scenes)[name], rows) for name, rows in plain.describe(batch.scenes).items()
    )


def test_it_overfits_a_few_scenes_and_every_tensor_learns():
    method = build(seed=1).train()
    losses = overfit(method)
    assert losses[-1] < 0.2 * losses[0]
    assert all(parameter.grad is not None for parameter in method.parameters())


def test_the_loss_is_finite_in_bf16():
    terms, total = loss_terms(build().train(), some_batch(), make_fabric("cpu", "bf16"))
    assert torch.isfinite(total)
    assert set(terms) == {"loss"}


@pytest.mark.parametrize("bands", [3, 13])
def test_shapes(bands):
    method = tiny_method(NAME, tiny_setup("trunk.mean=[0.5]", "trunk.std=[0.5]", bands=bands)).eval()
    shapes = {name: tuple(rows.shape) for name, rows in method.describe(some_scenes(3, bands)).items()}
    assert shapes == {"FC": (3, CLASSES), "FC1": (3, 16)}


# --- from end to end ---


def with_pool(tiny: Tiny) -> str:
    folder = write_scenes(tiny.folder / "pool", 3, 10, seed=9)
    text = tiny.protocol.read_text().replace("size = 32", f'size = 32\nunlabelled = "folder:{folder}"')
    tiny.protocol.write_text(text)
    return f"folder:{folder}"


def test_the_order_of_the_pools_classes_is_part_of_the_key(tiny: Tiny) -> None:
    """Rounds draw their scenes in this order."""
    write_scenes(tiny.folder / "pool", 3, 6, seed=9)
    tiny.protocol.write_text(tiny.protocol.read_text().replace("size = 32", 'size = 32\nunlabelled = "pool"'))
    keys = []
    for order in ((0, 1, 2), (2, 1, 0)):
        classes = ", ".join(f'{{ name = "class{number}", scenes = 6 }}' for number in order)
        card = tiny.folder / "pool.toml"
        card.write_text(
            'name = "pool"\ntitle = "Pool"\ndescription = "d"\ncitation = "c"\nlicence = "l"\nsource = "s"\n'
            f'ground_resolution = "1 m"\npixels = 32\nfolders = ["pool"]\nclasses = [{classes}]\n'
            '[download]\nby_hand = "x"\n'
        )
        plan = make_plan(tiny.request(NAME, cards=[card]))
        keys.append(plan.runs[0].key)
    assert keys[0] != keys[1]


def run(tiny: Tiny, *overrides: str, methods: str = NAME, out: str = "runs") -> dict[str, np.ndarray]:
    """The descriptors of every row."""
    request = tiny.request(methods, out=out, overrides=["train.epochs=4", *overrides])
    plan = make_plan(request)
    outcome = campaign(request, lambda _: None)
    assert outcome.failures == {}
    return {cell.row_name: np.load(cell.descriptors) for cell in plan.runs[0].cells}


def test_teacher_and_three_students(tiny: Tiny):
    with_pool(tiny)
    rows = run(tiny, f"methods.{NAME}.threshold=0.4")
    assert list(rows) == ["PCA, iteration 1", "PCA, iteration 2", "PCA"]
    assert not any(np.array_equal(rows["PCA"], rows[name]) for name in list(rows)[:2])
    folders = sorted(path.parent for path in (tiny.folder / "runs").rglob("trained.json"))
    assert [folder.name for folder in folders] == ["round1", "round2", "round3", "round4"]
    sizes = [json.loads((folder / "trained.json").read_text())["scenes"] for folder in folders]
    assert sizes[0] == 24
    assert 24 < sizes[1] < sizes[3] <= 24 + 30  # the teacher leaves something for the students to find
    for folder, size in zip(folders, sizes, strict=True):
        log = list(csv.DictReader((folder / "log.csv").open()))
        assert [float(epoch["pseudo_labelled"]) for epoch in log] == [size - 24] * 4
        assert all((float(epoch["pseudo_classes"]) > 0) == (size > 24) for epoch in log)
    assert all(float(epoch["images"]) == sizes[3] for epoch in log)


def test_each_record_names_and_counts_the_trainings_that_led_to_its_network(tiny: Tiny):
    with_pool(tiny)
    run(tiny, f"methods.{NAME}.threshold=0.4", "train.epochs=1")
    notes = [json.loads(path.read_text()) for path in sorted((tiny.folder / "runs").rglob("trained.json"))]
    records = read_records([tiny.folder / "runs"])
    rounds = {"PCA, iteration 1": 2, "PCA, iteration 2": 3, "PCA": 4}
    assert {record.row.name for record in records} == set(rounds)
    for record in records:
        led = notes[: rounds[record.row.name]]
        assert record.weights["trained"] == f"sha256:{led[-1]['weights_sha256']}"
        assert record.cost["train_loss"] == led[-1]["loss"]
        assert record.cost["train_seconds"] == pytest.approx(sum(note["seconds"] for note in led))


def test_the_teacher_is_the_plain_method_of_the_same_seed(tiny: Tiny):
    with_pool(tiny)
    run(tiny, methods=f"{NAME},baseline")
    teacher, *_, plain = sorted((tiny.folder / "runs").rglob("round1/weights.safetensors"), reverse=True)
    assert (teacher.parts[-4], plain.parts[-4]) == (NAME, "baseline")
    ours, theirs = load_file(teacher), load_file(plain)
    assert set(ours) == set(theirs)
    assert all(torch.equal(value, theirs[name]) for name, value in ours.items())


def test_every_round_starts_from_the_protocols_weights_with_a_new_head(tiny: Tiny):
    with_pool(tiny)
    weights = tiny.folder / "start.safetensors"
    start = tiny_method("baseline", tiny_setup(), seed=5).trunk.backbone.state_dict()
    save_file(start, weights)
    plan = make_plan(tiny.request(NAME, overrides=[f"trunk.weights={weights}"]))
    first, second, again = (RunArtifacts(plan, plan.runs[0]).network(number).build() for number in (1, 2, 2))
    for network in (first, second):
        assert all(torch.equal(value, start[name]) for name, value in network.trunk.backbone.state_dict().items())
    assert not torch.equal(first.head.fc1.weight, second.head.fc1.weight)
    assert torch.equal(second.head.fc1.weight, again.head.fc1.weight)


def test_the_pool_is_no_target_of_it(tiny: Tiny):
    unlabelled = with_pool(tiny)
    targets = [tiny.target, unlabelled]
    plan = make_plan(tiny.request(f"{NAME},jsst+{NAME},baseline", targets=targets))
    by_method = {each.method.name: {cell.target for cell in each.cells} for each in plan.runs}
    assert by_method == {NAME: {tiny.target}, f"jsst+{NAME}": {tiny.target}, "baseline": set(targets)}
    assert plan.absent == [
        f"{name} on {unlabelled}: it is the method's unlabelled pool" for name in (NAME, f"jsst+{NAME}")
    ]


def test_a_copy_of_the_pool_is_no_target_either(tiny: Tiny):
    with_pool(tiny)
    copy = f"folder:{shutil.copytree(tiny.folder / 'pool', tiny.folder / 'copy')}"
    plan = make_plan(tiny.request(NAME, targets=[tiny.target, copy]))
    assert {cell.target for each in plan.runs for cell in each.cells} == {tiny.target}
    assert plan.absent == [f"{NAME} on {copy}: it is the method's unlabelled pool"]


def test_without_a_pool_it_is_absent(tiny: Tiny):
    plan = make_plan(tiny.request(f"{NAME},baseline"))
    assert [each.method.name for each in plan.runs] == ["baseline"]
    assert plan.absent == [f"{NAME}: needs unlabelled scenes; the protocol tiny names none"]


@pytest.mark.parametrize("setting", ["threshold=0.36", "per_class=4"])
def test_each_setting_changes_the_descriptors(tiny: Tiny, setting: str):
    with_pool(tiny)
    usual = run(tiny, f"methods.{NAME}.threshold=0.4", out="usual")
    changed = run(tiny, f"methods.{NAME}.threshold=0.4", f"methods.{NAME}.{setting}", out="changed")
    assert not any(np.array_equal(usual[name], changed[name]) for name in usual)

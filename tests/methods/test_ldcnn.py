from __future__ import annotations

import pytest
import torch
from tiny import CLASSES, some_batch, some_scenes, tiny_method, tiny_setup
from torch.nn import functional

from rsir_bench.records.paper import PAPER_TABLES, published


def test_the_published_row():
    rows = tiny_method("ldcnn", tiny_setup()).card.rows
    assert (rows["Max Pooling"].descriptor, rows["GAP"].descriptor) == ("max", "mean")
    names = {(p.row.method, p.row.variant, p.row.pooling) for p in published(PAPER_TABLES[0])}
    assert (*rows["Max Pooling"].paper, "Max Pooling") in names


@pytest.mark.parametrize(("size", "side"), [(32, 1), (96, 3), (128, 2), (160, 3)])
def test_descriptors_position_by_position(size, side):
    method = tiny_method("ldcnn", tiny_setup(f"data.size={size}")).eval()
    torch.nn.init.normal_(method.classes.weight)
    scenes = some_scenes(2, size=size)
    maps = method.trunk.maps(scenes)
    if size <= 96:
        maps = functional.pad(maps, (1, 1, 1, 1))  # a window must leave more than one position
    assert maps.shape[2] - 2 == side
    columns = []
    for y in range(side):
        for x in range(side):
            wide = torch.einsum("nchw,ochw->no", maps[:, :, y : y + 3, x : x + 3], method.wide.weight).relu()
            deep = (wide @ method.deep.weight[:, :, 0, 0].T).relu()
            columns.append((deep @ method.classes.weight[:, :, 0, 0].T + 1).relu())
    rows = method.describe(scenes)
    tolerance = {"rtol": 1e-4, "atol": 1e-4}
    torch.testing.assert_close(rows["max"], torch.stack(columns).amax(0), **tolerance)
    torch.testing.assert_close(rows["mean"], torch.stack(columns).mean(0), **tolerance)


def test_bands_and_classes():
    setup = tiny_setup("trunk.mean=[0.5]", "trunk.std=[0.5]", bands=13)
    rows = tiny_method("ldcnn", setup).eval().describe(some_scenes(2, 13))
    assert {name: tuple(values.shape) for name, values in rows.items()} == {"max": (2, CLASSES), "mean": (2, CLASSES)}


def test_loss_is_cross_entropy_of_the_average():
    method = tiny_method("ldcnn", tiny_setup("data.size=96")).eval()
    batch = some_batch().with_scenes(some_scenes(8, size=96))
    logits = method.describe(batch.scenes)["mean"]
    torch.testing.assert_close(method.loss(batch), -logits.log_softmax(1)[torch.arange(8), batch.labels].mean())


def test_dropout_before_and_after_the_last_layer_in_training_only():
    method = tiny_method("ldcnn", tiny_setup(), ldcnn={"dropout": 0.9})
    calls = []
    method.dropout.register_forward_hook(lambda module, inputs, output: calls.append(output.shape[1]))
    batch = some_batch()
    assert method.loss(batch) != method.loss(batch)
    assert calls == [16, CLASSES] * 2
    method.eval()
    assert method.loss(batch) == method.loss(batch)


def test_without_the_rectifier_values_are_negative_too():
    lowest = [
        tiny_method("ldcnn", tiny_setup(), ldcnn={"rectified": rectified, "bias": -5.0})
        .eval()
        .describe(some_scenes())["max"]
        .min()
        for rectified in (True, False)
    ]
    assert lowest[0] == 0 > lowest[1]


def test_the_last_layer_learns_slowly():
    method = tiny_method("ldcnn", tiny_setup())
    rest, last = method.parameter_groups()
    assert (rest.rate, last.rate) == (1, 0.1)
    assert {id(p) for p in last.parameters} == {id(p) for p in method.classes.parameters()}
    assert len(rest.parameters) + len(last.parameters) == len(list(method.parameters()))


@pytest.mark.parametrize("rate", [0.03, 0.08])  # the highest of the protocols that start from scratch
def test_it_learns_and_no_class_dies(rate):
    method = tiny_method("ldcnn", tiny_setup("data.size=64", "head.fc1=128")).train()
    optimizer = torch.optim.SGD(
        [{"params": g.parameters, "lr": rate * g.rate} for g in method.parameter_groups()], momentum=0.9
    )
    batch = some_batch(16).with_scenes(some_scenes(16, size=64))
    for _ in range(70):
        loss = method.loss(batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    values = method.describe(batch.scenes)["mean"]
    assert (values.argmax(1) == batch.labels).float().mean() > 0.9
    assert (values.amax(0) > 0).all()

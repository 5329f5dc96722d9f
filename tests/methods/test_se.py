from __future__ import annotations

import pytest
import torch
from tiny import CLASSES, message, some_batch, some_scenes, tiny_method, tiny_setup

from rsir_bench.methods.se import Se
from rsir_bench.nn.trunk import Trunk

NO_ZEROS = "trunk.arguments.zero_init_last=false"  # as after a first step: a branch of zeros has no gradient
ONE = ("trunk.mean=[0.5]", "trunk.std=[0.5]")


def test_published_row():
    rows = Se.card.rows
    assert (rows["PCA"].descriptor, rows["PCA"].kind, rows["PCA"].paper) == ("FC1", "pca", ("SE", ""))
    assert (rows["FC"].descriptor, rows["FC"].kind) == ("FC", "real")
    assert Se.card.trunk == "resnet34"


@pytest.mark.parametrize(("bands", "size"), [(3, 32), (13, 32), (3, 64)])
def test_shapes(bands, size):
    method = tiny_method("se", tiny_setup(*ONE, f"data.size={size}", bands=bands)).eval()
    shapes = {name: tuple(values.shape) for name, values in method.describe(some_scenes(3, bands, size)).items()}
    assert shapes == {"FC": (3, CLASSES), "FC1": (3, 16)}


def test_resnet34_has_512_features_and_a_module_in_each_of_its_blocks():
    method = tiny_method("se", tiny_setup("trunk.name=resnet34"))
    assert method.trunk.features == 512
    modules = [name for name, _ in method.trunk.named_modules() if name.endswith(".se")]
    assert len(modules) == 16
    assert method.trunk.backbone.layer1[0].se.fc1.out_channels == 4


def test_open_gates_leave_the_baseline():
    setup = tiny_setup(NO_ZEROS)
    method = tiny_method("se", setup, se={"gate": 1 - 1e-7}).eval()
    plain = tiny_method("baseline", setup, seed=1).eval()
    state = {name: value for name, value in method.state_dict().items() if ".se." not in name}
    plain.load_state_dict(state)
    for name, expected in plain.describe(some_scenes()).items():
        torch.testing.assert_close(method.describe(some_scenes())[name], expected, rtol=1e-4, atol=1e-5)


def test_gate_changes_the_descriptors():
    wide, narrow = (tiny_method("se", tiny_setup(NO_ZEROS), se={"gate": gate}).eval() for gate in (0.9, 0.5))
    scenes = some_scenes()
    assert not torch.allclose(wide.describe(scenes)["FC1"], narrow.describe(scenes)["FC1"], atol=1e-3)


def test_in_frozen_blocks_the_modules_learn_and_nothing_else():
    method = tiny_method("se", tiny_setup("trunk.frozen=['conv1', 'bn1', 'layer1']", NO_ZEROS)).train()
    before = {name: value.clone() for name, value in method.state_dict().items()}
    optimizer = torch.optim.SGD([p for p in method.parameters() if p.requires_grad], 0.1)
    method.loss(some_batch()).backward()
    without = {name for name, p in method.named_parameters() if p.grad is None}
    optimizer.step()
    frozen = {
        name
        for name in before
        if name.startswith(("trunk.backbone.conv1.", "trunk.backbone.bn1.", "trunk.backbone.layer1."))
        and ".se." not in name
    }
    assert without == frozen & {name for name, _ in method.named_parameters()}
    after = method.state_dict()
    assert {name for name in before if torch.equal(before[name], after[name])} - frozen == set()
    assert all(torch.equal(before[name], after[name]) for name in frozen)
    assert not torch.equal(
        before["trunk.backbone.layer1.0.se.fc1.weight"], after["trunk.backbone.layer1.0.se.fc1.weight"]
    )


def test_it_learns():
    method = tiny_method("se", tiny_setup()).train()
    optimizer = torch.optim.SGD(method.parameters(), 0.05, momentum=0.9)
    batch = some_batch(32)
    losses = []
    for _ in range(24):
        losses.append(method.loss(batch))
        optimizer.zero_grad()
        losses[-1].backward()
        optimizer.step()
    assert losses[-1] < 0.2 * losses[0]


def test_legacy_is_timms_with_its_own_names_of_frozen_parts():
    setup = tiny_setup("trunk.frozen=['conv1', 'bn1', 'layer1']", *ONE, bands=13)
    method = tiny_method("se", setup, se={"legacy": True}).train()
    assert type(method.trunk) is Trunk
    frozen = {name.split(".")[2] for name, p in method.trunk.named_parameters(prefix="trunk") if not p.requires_grad}
    assert frozen == {"layer0", "layer1"}
    assert not method.trunk.backbone.layer0.bn1.training
    assert method.trunk.backbone.layer1[0].se_module.fc1.out_channels == 4
    assert method.describe(some_scenes(2, 13))["FC"].shape == (2, CLASSES)


def test_a_setting_that_would_change_nothing():
    text = message(lambda: tiny_method("se", tiny_setup(), se={"legacy": True, "gate": 0.5}))
    assert "gate is for inserted modules" in text

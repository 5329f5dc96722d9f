from __future__ import annotations

import pytest
import torch
from tiny import CLASSES, some_batch, some_scenes, tiny_method, tiny_protocol, tiny_setup
from torch import Tensor

from rsir_bench.methods.cbp import Cbp
from rsir_bench.training.loop import make_optimizer

NO_ZEROS = "trunk.arguments.zero_init_last=false"
SMALL = {"dimensions": 128}


def test_published_row():
    assert (Cbp.card.rows["PCA"].descriptor, Cbp.card.rows["PCA"].kind) == ("FC1", "pca")
    assert Cbp.card.rows["PCA"].paper == ("CBP", "")
    assert "-style" in Cbp.card.title


@pytest.mark.parametrize(("bands", "size"), [(3, 32), (13, 32), (3, 96)])
def test_shapes(bands, size):
    setup = tiny_setup(f"data.size={size}", "trunk.mean=[0.5]", "trunk.std=[0.5]", bands=bands)
    method = tiny_method("cbp", setup).eval()
    assert method.head.fc1.in_features == 8192
    shapes = {name: tuple(values.shape) for name, values in method.describe(some_scenes(3, bands, size)).items()}
    assert shapes == {"FC": (3, CLASSES), "FC1": (3, 16)}


@pytest.mark.parametrize(("unit", "length"), [(False, 128**0.5), (True, 1.0)])
def test_descriptors_by_hand(unit, length):
    method = tiny_method("cbp", tiny_setup(), cbp={**SMALL, "unit": unit}).eval()
    scenes = some_scenes()
    seen: list[Tensor] = []
    method.head.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    method.describe(scenes)
    attended = method.attention(method.trunk.maps(scenes)).double()
    sketches = method.pool(attended)
    roots = sketches.sign() * sketches.abs().sqrt()
    expected = length * roots / roots.norm(dim=1, keepdim=True)
    torch.testing.assert_close(seen[0].double(), expected, rtol=0, atol=1e-3 * length)
    torch.testing.assert_close(seen[0].norm(dim=1), torch.full((4,), length))


def test_adam_at_its_own_rate_in_the_protocols_schedule():
    setup = tiny_setup()
    method = tiny_method("cbp", setup, cbp=SMALL)
    train = tiny_protocol().train
    recipe = method.recipe(train)
    assert (recipe.optimizer, recipe.rate) == ("adam", 1e-4)
    changed = {"optimizer": train.optimizer, "rate": train.rate}
    assert recipe.model_copy(update=changed) == train
    assert type(make_optimizer(method, recipe)) is torch.optim.Adam
    assert tiny_method("cbp", setup, cbp={**SMALL, "rate": 0.5}).recipe(train).rate == 0.5


def test_it_learns_by_its_own_recipe_and_every_tensor_has_a_gradient():
    setup = tiny_setup(NO_ZEROS)
    method = tiny_method("cbp", setup).train()
    optimizer = make_optimizer(method, method.recipe(setup.protocol.train))
    batch = some_batch(32)
    losses = []
    for _ in range(30):
        losses.append(method.loss(batch))
        optimizer.zero_grad()
        losses[-1].backward()
        assert all(p.grad is not None and p.grad.any() for p in method.parameters())
        optimizer.step()
    assert losses[-1] < 0.2 * losses[0]


def test_finite_in_mixed_precision_even_on_empty_maps():
    method = tiny_method("cbp", tiny_setup(), cbp=SMALL).train()
    batch = some_batch()
    for scenes in (batch.scenes, torch.zeros_like(batch.scenes)):
        method.zero_grad()
        with torch.autocast("cpu", torch.bfloat16):
            loss = method.loss(batch.with_scenes(scenes))
        loss.backward()
        assert loss.isfinite()
        assert all(p.grad.isfinite().all() for p in method.parameters())


def test_a_scene_has_the_same_descriptor_in_any_company_and_after_a_reload():
    method, other = (tiny_method("cbp", tiny_setup(), seed, cbp=SMALL).eval() for seed in (0, 1))
    other.load_state_dict(method.state_dict())
    scenes = some_scenes(5)
    with torch.inference_mode():
        together, alone = method.describe(scenes), other.describe(scenes[3:4])
    for name in together:
        torch.testing.assert_close(together[name][3:4], alone[name], rtol=1e-4, atol=1e-5)

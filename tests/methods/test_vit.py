from __future__ import annotations

from dataclasses import replace

import pytest
import timm
import torch
from safetensors.torch import save_file
from tiny import CLASSES, SIZE, message, some_batch, some_scenes, tiny_method, tiny_setup

from rsir_bench.base.files import file_digest
from rsir_bench.method import Method
from rsir_bench.methods.vit import Vit

SMALL = "test_vit"  # 64 wide, six layers
FROZEN = "trunk.frozen=['conv1', 'bn1', 'layer1']"


def vit(*overrides: str, bands: int = 3, size: int = SIZE, seed: int = 0, **settings: object) -> Method:
    setup = replace(tiny_setup("trunk.mean=[0.5]", "trunk.std=[0.5]", *overrides, bands=bands), size=size)
    return tiny_method("vit", setup, seed, vit={"model": SMALL, **settings})


def test_the_paper_of_the_tables_has_no_such_row():
    assert [row.paper for row in Vit.card.rows.values()] == [None, None]
    assert Vit.card.trunk == "resnet34"
    assert Vit.Settings().model == "vit_small_patch16_224.augreg_in1k"


def test_the_trunk_is_timms_class_token():
    method = vit().eval()
    reference = timm.create_model(SMALL, num_classes=0, img_size=32).eval()
    reference.load_state_dict(method.trunk.backbone.state_dict())
    scenes = some_scenes()
    tokens = reference.forward_features((scenes - 0.5) / 0.5)
    assert tokens.shape == (4, 1 + 2 * 2, 64)
    torch.testing.assert_close(method.trunk(scenes), tokens[:, 0])


@pytest.mark.parametrize(("size", "patch", "patches"), [(96, 16, 36), (96, 8, 144), (128, 16, 64), (224, 16, 196)])
def test_patches_at_the_sizes_of_the_protocols(size, patch, patches):
    method = vit(size=size, patch=patch)
    assert method.trunk.backbone.patch_embed.num_patches == patches
    assert method.trunk.backbone.pos_embed.shape == (1, patches + 1, 64)


def test_a_side_that_is_no_multiple_of_the_patch_is_padded_right_and_below():
    odd, even = vit(size=40).eval(), vit(size=48, seed=1).eval()
    even.load_state_dict(odd.state_dict())
    scenes = some_scenes(2, size=40)
    padded = torch.nn.functional.pad(scenes, (0, 8, 0, 8), value=0.5)  # zero after normalisation
    torch.testing.assert_close(odd.describe(scenes), even.describe(padded))


def test_thirteen_bands():
    shapes = {name: tuple(values.shape) for name, values in vit(bands=13).eval().describe(some_scenes(2, 13)).items()}
    assert shapes == {"FC": (2, CLASSES), "FC1": (2, 16)}


def test_it_freezes_its_first_quarter_where_the_protocol_freezes():
    frozen = {name for name, p in vit(FROZEN).trunk.backbone.named_parameters() if not p.requires_grad}
    assert {".".join(name.split(".")[: 2 if "blocks" in name else 1]) for name in frozen} == {
        "patch_embed",
        "blocks.0",
        "blocks.1",
        "blocks.2",
    }
    assert all(p.requires_grad for p in vit().parameters())


def test_the_gradient_reaches_every_tensor_and_it_learns():
    method = vit().train()
    optimizer = torch.optim.SGD(method.parameters(), 0.05, momentum=0.9)
    batch = some_batch(16)
    losses = []
    for _ in range(20):
        losses.append(method.loss(batch))
        optimizer.zero_grad()
        losses[-1].backward()
        assert all(p.grad is not None and p.grad.any() for p in method.parameters())
        optimizer.step()
    assert losses[-1] < 0.3 * losses[0]


def test_weights_follow_the_protocol(monkeypatch):
    class Asked(Exception):
        pass

    def create(name, pretrained, **options):
        raise Asked(name, pretrained, options)

    monkeypatch.setattr(timm, "create_model", create)
    with pytest.raises(Asked) as caught:
        tiny_method("vit", tiny_setup("trunk.weights=none", "trunk.arguments={pad_type='same'}"))
    options = {"img_size": 32, "patch_size": 16, "num_classes": 0, "in_chans": 3}
    assert caught.value.args == ("vit_small_patch16_224.augreg_in1k", False, options)
    assert "vit_small_patch16_224.augreg_in1k" in message(
        lambda: tiny_method("vit", tiny_setup("trunk.weights=imagenet"))
    )


def test_a_file_of_weights_of_another_size(tmp_path):
    """The tensors of its blocks as they are, its position embeddings interpolated."""
    given = timm.create_model(SMALL, num_classes=0, img_size=64)
    file = tmp_path / "vit.safetensors"
    save_file({name: value.contiguous() for name, value in given.state_dict().items()}, file)
    setup = tiny_setup(weights_folders=(tmp_path,))
    settings = {"model": SMALL, "file": file.name, "sha256": file_digest(file)}
    built = tiny_method("vit", setup, seed=1, vit=settings).trunk.backbone
    assert torch.equal(built.blocks[5].mlp.fc1.weight, given.blocks[5].mlp.fc1.weight)
    assert built.pos_embed.shape == (1, 5, 64)
    assert torch.equal(built.pos_embed[:, 0], given.pos_embed[:, 0])  # the class token's has no place
    assert "sha256 differs" in message(lambda: tiny_method("vit", setup, vit={**settings, "sha256": "0" * 64}))
    assert "go together" in message(lambda: tiny_method("vit", setup, vit={"file": file.name}))

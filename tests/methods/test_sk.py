from __future__ import annotations

import pytest
import timm
import torch
from safetensors.torch import save_file
from tiny import CLASSES, message, some_batch, some_scenes, tiny_method, tiny_setup
from torch import nn

from rsir_bench.base.files import file_digest
from rsir_bench.methods.sk import Sk

FROZEN = "trunk.frozen=['conv1', 'bn1', 'layer1']"
ONE = ("trunk.mean=[0.5]", "trunk.std=[0.5]")


@pytest.fixture(scope="module")
def plain() -> Sk:
    """A network to look at, not to train."""
    method = tiny_method("sk", tiny_setup(FROZEN))
    assert isinstance(method, Sk)
    return method.eval()


def test_published_row():
    assert (Sk.card.rows["PCA"].descriptor, Sk.card.rows["PCA"].kind) == ("FC1", "pca")
    assert Sk.card.rows["PCA"].paper == ("SK", "")
    assert Sk.card.trunk == "resnet34"


def test_trunk_is_timms(plain):
    torch.manual_seed(1)
    reference = timm.create_model("skresnet34", num_classes=0).eval()
    reference.load_state_dict(plain.trunk.backbone.state_dict())
    scenes = some_scenes()
    expected = reference((scenes - plain.trunk.mean) / plain.trunk.std)
    assert expected.shape == (4, 512)
    torch.testing.assert_close(plain.trunk(scenes), expected)


def test_a_block_chooses_between_two_receptive_fields(plain):
    kernel = plain.trunk.backbone.layer2[1].conv1
    assert [path.conv.dilation for path in kernel.paths] == [(1, 1), (2, 2)]
    inputs = torch.rand(2, 128, 4, 4)
    halves = inputs.split(64, 1)  # each branch sees half of the channels
    branches = torch.stack([path(half) for path, half in zip(kernel.paths, halves, strict=True)], 1)
    attention = kernel.attn
    squeezed = branches.sum(1).mean((2, 3), keepdim=True)
    logits = attention.fc_select(attention.act(attention.bn(attention.fc_reduce(squeezed))))
    weights = logits.view(2, 2, 128, 1, 1).softmax(1)
    torch.testing.assert_close(kernel(inputs), (branches * weights).sum(1))
    units = [getattr(plain.trunk.backbone, f"layer{n}")[0].conv1.attn.fc_reduce.out_channels for n in range(1, 5)]
    assert units == [16, 16, 32, 64]


def test_frozen_parts_of_the_protocol(plain):
    frozen = {name.split(".")[2] for name, p in plain.trunk.named_parameters(prefix="trunk") if not p.requires_grad}
    assert frozen == {"conv1", "bn1", "layer1"}
    norms = [m for m in plain.train().trunk.backbone.layer1.modules() if isinstance(m, nn.BatchNorm2d)]
    assert norms
    assert not any(norm.training for norm in norms)
    plain.eval()


def test_thirteen_bands():
    method = tiny_method("sk", tiny_setup(*ONE, bands=13)).eval()
    shapes = {name: tuple(values.shape) for name, values in method.describe(some_scenes(2, 13)).items()}
    assert shapes == {"FC": (2, CLASSES), "FC1": (2, 16)}


def test_gradient_reaches_every_tensor_and_it_learns():
    method = tiny_method("sk", tiny_setup()).train()
    optimizer = torch.optim.SGD(method.parameters(), 0.02, momentum=0.9)
    batch = some_batch(16)
    losses = []
    for _ in range(10):
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
        raise Asked(name, pretrained)

    monkeypatch.setattr(timm, "create_model", create)
    with pytest.raises(Asked) as caught:
        tiny_method("sk", tiny_setup("trunk.weights=none"))
    assert caught.value.args == ("skresnet34.ra_in1k", False)
    # The hub's errors become one line; the name in it is that of the weights.
    assert "skresnet34.ra_in1k" in message(lambda: tiny_method("sk", tiny_setup("trunk.weights=imagenet")))


def test_a_file_of_weights(plain, tmp_path):
    file = tmp_path / "sk.safetensors"
    save_file({name: value.contiguous() for name, value in plain.trunk.backbone.state_dict().items()}, file)
    setup = tiny_setup(weights_folders=(tmp_path,))
    method = tiny_method("sk", setup, seed=1, sk={"file": file.name, "sha256": file_digest(file)}).eval()
    torch.testing.assert_close(method.trunk(some_scenes()), plain.trunk(some_scenes()))
    named = {"file": file.name, "sha256": file_digest(file)}
    kept = tiny_method("sk", setup, seed=1, sk={**named, "zero_init_last": True}).trunk.backbone.state_dict()
    assert all(torch.equal(kept[name], value) for name, value in plain.trunk.backbone.state_dict().items())
    wrong = {"file": file.name, "sha256": "0" * 64}
    assert "sha256 differs" in message(lambda: tiny_method("sk", setup, sk=wrong))
    assert "go together" in message(lambda: tiny_method("sk", setup, sk={"file": file.name}))


def test_the_protocols_file_of_another_trunk(tmp_path):
    file = tmp_path / "other.safetensors"
    save_file({"conv1.weight": torch.zeros(1)}, file)
    setup = tiny_setup(f"trunk.weights={file.name}", weights_folders=(tmp_path,))
    assert "not weights of skresnet34" in message(lambda: tiny_method("sk", setup))


def test_blocks_start_as_those_of_resnet34_on_demand():
    """The last norm of every block: zero in timm's ResNet34 from scratch, one in its skresnet34."""
    usual = tiny_method("sk", tiny_setup()).trunk.backbone.layer2[0]
    zero = tiny_method("sk", tiny_setup(), sk={"zero_init_last": True}).trunk.backbone.layer2[0]
    last = {float(block.state_dict()["conv2.bn.weight"].abs().max()) for block in (usual, zero)}
    assert last == {1.0, 0.0}

from __future__ import annotations

import pytest
import torch
from tiny import CLASSES, SIZE, message, some_batch, some_scenes, tiny_method, tiny_setup
from torch.nn import functional

from rsir_bench.method import Setup
from rsir_bench.methods.nts_net import NtsNet
from rsir_bench.nn.metric_losses import ranking_hinge
from rsir_bench.nn.proposals import best_boxes, crops
from rsir_bench.training.loop import make_optimizer

SMALL = ("trunk.arguments.zero_init_last=false", f"data.size={SIZE}")


def nts_net(*overrides: str, bands: int = 3, size: int = SIZE, classes: int = CLASSES, **settings) -> NtsNet:
    tiny = tiny_setup(*SMALL, *overrides, bands=bands)
    setup = Setup(classes, bands, 20, size, tiny.protocol)
    method = tiny_method("nts-net", setup, **{"nts-net": settings})
    assert isinstance(method, NtsNet)
    return method


def learn(method: NtsNet, steps: int, count: int) -> None:
    """A few steps on one batch."""
    torch.manual_seed(0)
    optimizer = torch.optim.SGD(method.parameters(), 0.05, momentum=0.9)
    batch = some_batch(count)
    for _ in range(steps):
        loss = torch.stack(list(method.loss(batch).values())).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def test_rows():
    card = nts_net().card
    assert (card.rows["PCA"].descriptor, card.rows["PCA"].kind, card.rows["PCA"].paper) == (
        "FC1",
        "pca",
        ("NTS-Net", ""),
    )
    assert (card.rows["FC"].descriptor, card.rows["FC"].kind, card.rows["FC"].paper) == ("FC", "real", None)


@pytest.mark.parametrize(("size", "positions"), [(224, (7, 4, 2)), (96, (3, 2, 1)), (32, (1, 1, 1))])
def test_as_many_anchors_as_resnet34s_maps_have(size, positions):
    method = nts_net("trunk.name=resnet34", "trunk.arguments={}", size=size).eval()
    with torch.inference_mode():
        maps = method.trunk.maps(torch.zeros(1, 3, size, size))
        boxes, scores = method.navigator(maps, (size, size))
    count = sum(number * side**2 for number, side in zip((6, 6, 9), positions, strict=True))
    assert boxes.shape == (count, 4)
    assert scores.shape == (1, count)
    assert count == {224: 426, 96: 87, 32: 21}[size]
    # Areas: the smallest anchors of each map are a fifth, two fifths and four fifths of the scene's side, with scales.
    sides = ((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])).sqrt() / size
    expected = [0.2 * 2 ** (1 / 3), 0.2 * 2 ** (2 / 3), 0.4 * 2 ** (1 / 3), 0.4 * 2 ** (2 / 3)]
    expected += [0.8, 0.8 * 2 ** (1 / 3), 0.8 * 2 ** (2 / 3)]
    torch.testing.assert_close(sides.float().round(decimals=5).unique(), torch.tensor(expected), atol=2e-5, rtol=0)


def test_each_score_belongs_to_the_anchor_at_its_place():
    method = nts_net(size=96).eval()
    with torch.no_grad():
        for down in method.navigator.down:  # every map passes the first channel on
            down.weight.zero_()
            down.weight[:, 0, 1, 1] = 1
            down.bias.zero_()
        for score in method.navigator.score:
            score.weight.fill_(1.0)
            score.bias.zero_()
    maps = torch.zeros(1, method.trunk.features, 3, 3)
    maps[0, 0, 2, 1] = 1  # the lowest row, in the middle
    boxes, scores = method.navigator(maps, (96, 96))
    middles = (boxes[:, :2] + boxes[:, 2:])[scores[0] > 0] / 2
    assert len(middles) == 6  # the coarser maps look at every second position only
    torch.testing.assert_close(middles, torch.tensor([48.0, 80.0], dtype=torch.float64).expand(6, 2))


@pytest.mark.parametrize(("classes", "bands", "size"), [(7, 3, 32), (38, 13, 32), (7, 3, 96), (7, 3, 224)])
def test_shapes(classes, bands, size):
    method = nts_net("trunk.mean=[0.5]", "trunk.std=[0.5]", bands=bands, size=size, classes=classes).eval()
    with torch.inference_mode():
        rows = method.describe(some_scenes(2, bands, size))
    assert {name: tuple(values.shape) for name, values in rows.items()} == {"FC": (2, classes), "FC1": (2, 16)}


def test_another_trunk_whose_pooled_features_are_not_its_maps():
    method = nts_net("trunk.name=mobilenetv3_small_050", "trunk.arguments={}").train()
    assert method.trunk.features != method.trunk.maps(some_scenes()).shape[1]
    terms = method.loss(some_batch(4))
    assert all(term.isfinite() for term in terms.values())


def test_descriptors_by_hand():
    method = nts_net(size=96, overlap=0.3).eval()
    scenes = some_scenes(3, size=96)
    whole = method.trunk(scenes)
    boxes, scores = method.navigator(method.trunk.maps(scenes), (96, 96))
    for number in range(3):
        left: list[int] = []
        for candidate in scores[number].argsort(descending=True).tolist():
            if all(_overlap(boxes[candidate], boxes[other]) <= 0.3 for other in left):
                left.append(candidate)
        parts = crops(scenes[number, None] - method.trunk.mean, boxes[None, left[:4]], 96) + method.trunk.mean
        together = torch.cat([method.trunk(parts).flatten(), whole[number]])
        fc1 = method.head.fc1.weight @ together + method.head.fc1.bias
        rows = method.describe(scenes[number, None])
        torch.testing.assert_close(rows["FC1"][0], fc1)
        torch.testing.assert_close(rows["FC"][0], method.head.fc2.weight @ fc1.relu() + method.head.fc2.bias)


def _overlap(a: torch.Tensor, b: torch.Tensor) -> float:
    common = (torch.minimum(a[2:], b[2:]) - torch.maximum(a[:2], b[:2])).clamp(min=0).prod()
    return (common / ((a[2:] - a[:2]).prod() + (b[2:] - b[:2]).prod() - common)).item()


def test_beyond_the_scene_the_trunk_sees_zeros():
    method = nts_net("trunk.mean=[0.2,0.5,0.7]", "trunk.std=[0.1,0.2,0.3]", anchor=1.0).eval()
    seen = []
    method.trunk.backbone.conv1.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    mean_colour = method.trunk.mean.expand(2, 3, SIZE, SIZE)
    method.describe(mean_colour)  # boxes as large as the scene and larger: most of a part lies beyond
    assert [len(inputs) for inputs in seen] == [2, 2 * 4]
    assert seen[1].abs().max() < 1e-6


@torch.no_grad()
def test_losses_by_hand():
    method = nts_net(size=96, dropout=0.0).eval()
    batch = some_batch(4).with_scenes(some_scenes(4, size=96))
    terms = method.loss(batch)
    maps, whole = method._look(batch.scenes)
    parts, scores = method._parts(batch.scenes, maps, 6)
    rank, part = 0.0, 0.0
    for number, label in enumerate(batch.labels.tolist()):
        losses = [-method.part_class(feature).log_softmax(0)[label].item() for feature in parts[number]]
        part += sum(losses) / 24
        for i in range(6):
            for j in range(6):
                if losses[j] > losses[i]:
                    rank += max(0.0, 1 - scores[number, i].item() + scores[number, j].item()) / 4
    assert terms["part"].item() == pytest.approx(part, rel=1e-4)
    assert terms["rank"].item() == pytest.approx(rank, rel=1e-4)
    expected = functional.cross_entropy(method.scene_class(whole), batch.labels)
    torch.testing.assert_close(terms["scene"], expected)
    expected = functional.cross_entropy(method.describe(batch.scenes)["FC"], batch.labels)
    torch.testing.assert_close(terms["concat"], expected)
    assert (scores.diff(dim=1) <= 0).all()  # the best part first


def test_the_navigator_learns_from_the_ranking_alone_and_the_ranking_teaches_it_alone():
    method = nts_net(size=96)
    terms = method.loss(some_batch(4).with_scenes(some_scenes(4, size=96)))
    terms["rank"].backward(retain_graph=True)
    reached = {name for name, parameter in method.named_parameters() if parameter.grad is not None}
    assert reached == {name for name, _ in method.named_parameters() if name.startswith("navigator.")}
    method.zero_grad()
    (terms["scene"] + terms["concat"] + terms["part"]).backward()
    missed = {name for name, parameter in method.named_parameters() if parameter.grad is None}
    assert missed == reached


@pytest.mark.parametrize("protocol", [0.001, 0.08])
def test_the_navigator_has_the_official_rate_under_every_protocol(protocol):
    method = nts_net(f"train.rate={protocol}")
    rest, navigator = method.parameter_groups()
    assert (rest.rate, rest.absolute_rate) == (1, None)
    assert navigator.absolute_rate == 0.001
    assert {*map(id, navigator.parameters)} == {*map(id, method.navigator.parameters())}
    assert len(rest.parameters) + len(navigator.parameters) == len(list(method.parameters()))


@pytest.mark.parametrize(("settings", "lives"), [({}, True), ({"rate": 0.08}, False)])
def test_the_navigator_lives_at_its_own_rate_and_dies_at_that_of_a_trunk_from_scratch(settings, lives):
    method = nts_net("train.rate=0.08", size=96, **settings)
    optimizer = make_optimizer(method, method.setup.protocol.train)
    first = method.navigator.down[0]
    torch.manual_seed(0)
    for _ in range(40):
        maps = torch.randn(16, first.in_channels, 3, 3).relu()
        boxes, scores = method.navigator(maps, (96, 96))
        chosen = best_boxes(boxes, scores, 6, 0.25)
        optimizer.zero_grad()
        ranking_hinge(scores.gather(1, chosen), torch.rand(16, 6)).backward()  # parts in any order: nothing to learn
        optimizer.step()
    alive = (first(maps) > 0).float().mean()
    assert alive > 0.3 if lives else alive < 0.05


def test_frozen_parts_stand_still_and_all_others_move():
    method = nts_net("trunk.frozen=['conv1', 'bn1', 'layer1']", size=64).train()
    before = {name: value.clone() for name, value in method.state_dict().items()}
    learn_batch = some_batch(16).with_scenes(some_scenes(16, size=64))
    optimizer = torch.optim.SGD([value for value in method.parameters() if value.requires_grad], 0.1)
    for _ in range(3):
        optimizer.zero_grad()
        torch.stack(list(method.loss(learn_batch).values())).sum().backward()
        optimizer.step()
    still = {name for name, value in method.state_dict().items() if torch.equal(value, before[name])}
    frozen = ("trunk.backbone.conv1.", "trunk.backbone.bn1.", "trunk.backbone.layer1.")
    assert still == {name for name in before if name.startswith(frozen)}


def test_a_scene_is_described_the_same_alone_and_in_a_batch():
    method = nts_net(size=96)
    learn(method, 2, 8)
    method.eval()
    scenes = some_scenes(5, size=96)
    with torch.inference_mode():
        together = method.describe(scenes)
        alone = [method.describe(scene[None]) for scene in scenes]
        again = method.describe(scenes)
    for name, values in together.items():
        torch.testing.assert_close(values, torch.cat([rows[name] for rows in alone]))
        assert torch.equal(values, again[name])  # no dropout


def test_dropout_is_there_in_training_alone():
    batch = some_batch(4)
    dropping = nts_net().eval()
    dropping.dropout.train()
    assert dropping.loss(batch)["scene"] != dropping.loss(batch)["scene"]
    without = nts_net(dropout=0.0).eval()
    without.dropout.train()
    assert without.loss(batch)["scene"] == without.loss(batch)["scene"]


@pytest.mark.parametrize("setting", [{"anchor": 0.1}, {"overlap": 0.0}, {"part_size": 64}, {"kept": 3}])
def test_settings_change_the_descriptors(setting):
    scenes = some_scenes(2, size=96)
    with torch.inference_mode():
        plain, changed = (nts_net(size=96, **settings).eval().describe(scenes)["FC1"] for settings in ({}, setting))
    assert not torch.allclose(plain, changed)


def test_parts_change_the_training():
    batch = some_batch(4)
    six, two = (nts_net(parts=parts, kept=2, dropout=0.0).eval().loss(batch) for parts in (6, 2))
    assert six["part"] != two["part"]
    assert six["rank"] > two["rank"]
    torch.testing.assert_close(six["concat"], two["concat"])


def test_more_kept_than_proposed():
    text = message(lambda: nts_net(parts=3, kept=4))
    assert "kept = 4 of parts = 3" in text


def test_all_anchors_of_a_single_position_may_be_parts():
    method = nts_net(parts=21, kept=21).eval()
    assert method.describe(some_scenes(2))["FC1"].isfinite().all()
    assert "less than or equal to 21" in message(lambda: nts_net(parts=22))


@pytest.mark.parametrize("count", [2, 8, 16])
def test_losses_and_gradients_are_finite_in_mixed_precision(count):
    method = nts_net().train()
    with torch.autocast("cpu", torch.bfloat16):
        terms = method.loss(some_batch(count))
    assert all(term.isfinite() for term in terms.values())
    assert terms["rank"].dtype == torch.float32
    torch.stack(list(terms.values())).sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in method.parameters())


def test_before_a_front_end():
    setup = tiny_setup(*SMALL)
    method = tiny_method("jsst+nts-net", setup)
    torch.stack(list(method.loss(some_batch(4)).values())).sum().backward()
    assert all(parameter.grad is not None for parameter in method.front.parameters())


def test_it_learns_32_scenes_by_heart():
    method = nts_net().train()
    learn(method, 25, 32)
    method.eval()
    terms = method.loss(some_batch(32))
    assert max(terms[name].item() for name in ("scene", "concat", "part")) < 0.3


def test_the_navigator_learns_the_order_of_the_parts():
    method = nts_net(parts=21, dropout=0.0).train()  # all anchors there are
    learn(method, 3, 5)
    method.eval().requires_grad_(False).navigator.requires_grad_(True)
    optimizer = torch.optim.Adam(method.navigator.parameters(), 0.01)
    ranks = []
    for _ in range(25):
        ranks.append(method.loss(some_batch(5))["rank"])
        optimizer.zero_grad()
        ranks[-1].backward()
        optimizer.step()
    assert ranks[-1] < 0.4 * ranks[0]


def test_centres_move_the_third_map_alone():
    """At 96 px the trunk's maps have 3 positions, the next 2 and 1: shares and strides differ from the second on."""
    shares, strides = (
        tiny_method("nts-net", tiny_setup("data.size=96"), **{"nts-net": {"centres": kind}})
        for kind in ("shares", "strides")
    )
    maps = torch.rand(1, shares.trunk.channels, 3, 3)
    boxes = [method.navigator(maps, (96, 96))[0] for method in (shares, strides)]
    first = 3 * 3 * 6
    assert torch.equal(boxes[0][:first], boxes[1][:first])
    assert not torch.equal(boxes[0][first:], boxes[1][first:])

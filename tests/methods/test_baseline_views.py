from __future__ import annotations

import torch
from tiny import some_batch, some_scenes, tiny_method, tiny_setup

from rsir_bench.methods.baseline_views import VIEWS
from rsir_bench.nn.proposals import crops


def test_it_is_trained_as_the_plain_network() -> None:
    ours, plain = tiny_method("baseline-views", tiny_setup()), tiny_method("baseline", tiny_setup())
    batch = some_batch()
    assert torch.equal(ours.loss(batch), plain.loss(batch))


def test_descriptors_are_means_over_the_views() -> None:
    ours = tiny_method("baseline-views", tiny_setup()).eval()
    plain = tiny_method("baseline", tiny_setup()).eval()
    scenes = some_scenes(3)
    mean = ours.trunk.mean
    singly = [
        plain.describe(crops(scenes - mean, torch.tensor([box]).expand(3, -1, -1) * 32, 32) + mean)["FC1"]
        for box in VIEWS
    ]
    torch.testing.assert_close(singly[0], plain.describe(scenes)["FC1"], atol=1e-4, rtol=1e-4)  # the whole scene
    torch.testing.assert_close(ours.describe(scenes)["FC1"], torch.stack(singly).mean(0), atol=1e-5, rtol=1e-5)
    assert not torch.allclose(singly[1], singly[0], atol=1e-3)


def test_views_are_as_many_as_the_passes_of_nts_net() -> None:
    nts_net = tiny_method("nts-net", tiny_setup())
    assert len(VIEWS) == nts_net.settings.kept + 1

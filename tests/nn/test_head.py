from __future__ import annotations

import torch

from rsir_bench.nn.head import Head


def test_fc1_is_before_its_relu_and_fc_after_fc2():
    torch.manual_seed(0)
    head = Head(7, 16, 5)
    features = torch.randn(6, 7)
    rows = head(features)
    assert {name: tuple(values.shape) for name, values in rows.items()} == {"FC1": (6, 16), "FC": (6, 5)}
    fc1 = features @ head.fc1.weight.T + head.fc1.bias
    fc = fc1.clamp_min(0) @ head.fc2.weight.T + head.fc2.bias
    torch.testing.assert_close(rows["FC1"], fc1)
    torch.testing.assert_close(rows["FC"], fc)
    assert (rows["FC1"] < 0).any()


def test_parameters_of_the_papers_head():
    assert sum(parameter.numel() for parameter in Head(512, 4096, 38).parameters()) == 513 * 4096 + 4097 * 38

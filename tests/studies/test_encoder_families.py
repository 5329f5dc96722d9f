"""The smallest model of each family is found, and what fails is listed with its reason."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest
from by_path import load
from tiny import message


@pytest.fixture(scope="module")
def study() -> ModuleType:
    return load("encoder_families")


def test_families_are_modules_with_pretrained_weights(study: ModuleType) -> None:
    known = study.families()
    assert len(known) > 80
    assert "levit_128s" in known["levit"]
    assert not any(model.startswith("test_") or "." in model for models in known.values() for model in models)


def test_the_smallest_has_the_fewest_parameters_times_pixels(study: ModuleType) -> None:
    assert study.smallest(["resnet18", "resnet34", "resnet50"]) == "resnet18"
    assert study.smallest(["tf_efficientnet_lite0", "tf_efficientnet_lite1"]) == "tf_efficientnet_lite0"


def test_each_is_described_and_failures_have_a_line(
    study: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(
        study, "families", lambda: {"ghostnet": ["ghostnet_050"], "vits": ["vit_base_patch16_sapiens2"]}
    )
    monkeypatch.setattr(sys, "argv", ["encoder_families.py"])
    study.main()
    out = capsys.readouterr().out
    assert "1 of 2 families describe a scene by name alone" in out
    (row,) = (line for line in out.splitlines() if line.startswith("ghostnet "))
    assert "224 px bicubic, crop 0.875" in row
    assert row.split()[-2] == "1280"
    assert "vits: vit_base_patch16_sapiens2: its own input is 768 x 1024" in out
    assert ":size=768 to its name" in out
    monkeypatch.setattr(sys, "argv", ["encoder_families.py", "nosuch"])
    assert message(study.main).startswith("nosuch: no family of timm with pretrained weights; known: ghostnet, vits")

"""Short names: each another one, and the one that readers know where it is short enough."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rsir_bench.report.names import LONGEST, short_names

WEIGHTS = "timm:mobilenetv2_100@mobilenetv2_100_imagenet.safetensors"


def test_weights_and_settings_are_left_out() -> None:
    labels = ["jsst", "jsst (jsst.bound=1)", f"{WEIGHTS} (timm.size=224)", "timm:resnet34@none"]
    assert list(short_names(labels).values()) == ["jsst", "jsst (…)", "timm:mobilenetv2_100 (…)", "timm:resnet34@none"]


def test_what_would_be_one_name_keeps_its_difference() -> None:
    labels = ["jsst (jsst.bound=1)", "jsst (jsst.bound=2)", "timm:a@x.safetensors", "timm:a@y.safetensors"]
    assert list(short_names(labels).values()) == labels


@given(st.lists(st.sampled_from(["a", "@", " (", "none", "b" * LONGEST, "…", ")"]).map(str), max_size=4).map("".join))
def test_no_two_labels_share_a_name(label: str) -> None:
    labels = {label, f"{label}x", f"{label}@none", f"{label}@w", f"{label} (s=1)", f"{label} (s=2)", "a", "a…"}
    found = short_names(labels)
    assert found.keys() == labels
    assert len(set(found.values())) == len(labels)

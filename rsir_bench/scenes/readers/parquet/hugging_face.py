"""Read the metadata of a Hugging Face parquet file: which columns hold images, and the class names."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from rsir_bench.base.errors import SceneError
from rsir_bench.scenes.readers.labels import check_class_names

KEY = b"huggingface"

LONGEST = 16_000_000
"""Bytes of the metadata; a thousand class names take some ten thousand."""

LISTS = ("List", "LargeList", "Sequence")


def features_of(metadata: Mapping[bytes, bytes] | None, where: str) -> dict[str, Any]:
    """Return the features by column, as their JSON has them; empty if the file has no such metadata.

    Args:
        metadata: Of the schema.
        where: The file, for messages.

    Raises:
        SceneError: They are too long, or not the JSON of features.
    """
    text = (metadata or {}).get(KEY)
    if text is None:
        return {}
    if len(text) > LONGEST:
        raise SceneError(f"{where}: metadata of {len(text):,} bytes; write the file again without them")
    try:
        features = json.loads(text)["info"]["features"]
    except (ValueError, KeyError, TypeError, RecursionError):
        features = None
    if not isinstance(features, dict):
        raise SceneError(f"{where}: its metadata 'huggingface' are not those of features; write the file again")
    return features


def is_picture(feature: object) -> bool:
    """Return whether a feature is an image."""
    return isinstance(feature, dict) and feature.get("_type") == "Image"


def class_names(feature: object, where: str) -> tuple[str, ...] | None:
    """Return the names of the classes 0, 1, ... of a feature, or of the labels in its lists; None for others.

    Raises:
        SceneError: The names are not fit.
    """
    if isinstance(feature, list) and len(feature) == 1:  # how lists were once written
        feature = feature[0]
    elif isinstance(feature, dict) and feature.get("_type") in LISTS:
        feature = feature.get("feature")
    if not isinstance(feature, dict) or feature.get("_type") != "ClassLabel":
        return None
    return check_class_names(feature.get("names"), where)

"""Datasets that contain the labels of their scenes: images in parquet or tar shards, or with a CSV."""

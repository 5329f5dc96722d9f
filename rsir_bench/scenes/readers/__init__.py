"""Datasets that bring the labels of their scenes along: images in parquet or tar shards, or with a CSV."""

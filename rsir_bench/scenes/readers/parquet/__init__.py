"""Scenes in parquet shards, as Hugging Face writes them."""

"""Results in the formats of others: TREC, mteb, Hugging Face, parquet."""

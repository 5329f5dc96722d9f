"""Write results in the formats of other programs: TREC, mteb, Hugging Face, parquet."""

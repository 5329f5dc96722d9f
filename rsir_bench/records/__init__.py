"""Result records: what is written down of each result, and where it lies."""

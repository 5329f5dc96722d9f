"""Result records: what is stored of each result, and where; the paper's values."""

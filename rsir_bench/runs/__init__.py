"""Turn a request into result records."""

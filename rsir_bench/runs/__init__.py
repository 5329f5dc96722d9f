"""From a request to result records."""

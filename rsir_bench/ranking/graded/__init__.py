"""Score scenes with several labels: grades of relevance, and the metrics that use them."""

"""Get datasets: download them from their pinned sources, or draw them."""

"""From runs to the committed boards: publish, accept, drift."""

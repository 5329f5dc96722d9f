"""What tables of targets with several labels for a scene add."""

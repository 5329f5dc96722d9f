"""What devices can compute with."""

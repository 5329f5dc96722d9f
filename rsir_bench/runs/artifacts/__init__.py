"""What a run makes, in order: network, descriptors, components, scores, record."""

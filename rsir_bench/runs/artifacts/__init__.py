"""The artifacts of a run, in order: network, descriptors, components, scores, record."""

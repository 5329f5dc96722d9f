"""Read descriptors, labels and ids of scenes from untrusted files."""

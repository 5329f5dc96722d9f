"""Search the scenes of a target for those most like an image, by the descriptors of a trained method."""

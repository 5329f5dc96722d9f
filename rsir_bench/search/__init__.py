"""Search: any image against the scenes of a target, as a trained method describes them."""

"""How files name the scenes of a dataset."""

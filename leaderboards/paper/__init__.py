"""The values published in the JSST paper, Tables I to VIII."""

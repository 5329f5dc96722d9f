"""Text for people at a terminal: how wide it is, whether it has colours, and tables that fit."""

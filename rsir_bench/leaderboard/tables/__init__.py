"""The tables of a board: rows, cells, marks and notes."""

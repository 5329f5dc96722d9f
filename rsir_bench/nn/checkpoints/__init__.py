"""Read files of weights, find the right network in them, and check that it fits a backbone."""

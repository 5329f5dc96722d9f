"""Files of weights: what they hold, which network in them is meant, and whether it fits a backbone."""

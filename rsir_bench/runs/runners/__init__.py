"""Where runs are worked off: in this process, in one of their own, on a cluster."""

"""Make the results of runs: in this process, in a subprocess, or on a cluster."""

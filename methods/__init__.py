"""The methods: one file each, found by the harness, named nowhere else."""

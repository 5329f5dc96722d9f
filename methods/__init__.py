"""The methods, one file each. The harness finds them; no other code refers to them by name."""

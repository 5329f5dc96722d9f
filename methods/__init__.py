"""The methods, one file each; the harness finds them, and no other code names them."""

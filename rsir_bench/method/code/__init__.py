"""Find the code of a method, and compute the digest that shows whether it has changed."""

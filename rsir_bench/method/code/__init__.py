"""What code a method is made of, and the digest that tells whether it has changed."""

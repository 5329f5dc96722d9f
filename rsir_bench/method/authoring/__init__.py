"""Help for those who write a method."""

"""What the verbs share: the set-up of their help, completion, and how lists are read."""

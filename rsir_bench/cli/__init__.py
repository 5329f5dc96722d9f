"""The command line: one file per verb, with its options, one call into the library, and what it prints."""

"""The shipped protocols, one TOML each."""

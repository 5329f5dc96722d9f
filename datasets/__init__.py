"""The dataset cards (one TOML each) and the generator of synthetic scenes."""

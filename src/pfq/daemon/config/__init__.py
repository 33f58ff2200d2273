"""The configuration of pfqd: from TOML to checked values, or all that is wrong with it."""

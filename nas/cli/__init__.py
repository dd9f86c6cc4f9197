"""The command `nas`: bodies in plain functions, one module per command; no torch on import."""

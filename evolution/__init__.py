"""Variation and selection that strategies share, for candidates of any space."""

"""Variation and selection that strategies share; none is registered yet."""

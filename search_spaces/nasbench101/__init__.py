"""The cell space of NAS-Bench-101."""

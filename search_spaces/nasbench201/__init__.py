"""The cell space of NAS-Bench-201."""

"""The cell space of DARTS and its variants S1 to S5."""

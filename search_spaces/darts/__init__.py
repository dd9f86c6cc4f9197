"""The cell space of DARTS, its variants S1 to S5, and an extended one."""

"""Generators and discriminators of cells (EAGAN, ECCV 2022), and hand-made ones beside them."""

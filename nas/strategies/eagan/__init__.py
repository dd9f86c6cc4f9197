"""EAGAN: the two-stage evolutionary search of GANs (Ying et al., ECCV 2022)."""

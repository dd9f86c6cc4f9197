"""What lives beside the device while a supernet is searched: sessions and their numerics.

`session` answers a strategy's calls; `bilevel` holds the gradients of alternating optimisation,
`measuring` what a supernet loses without a part of it, `curvature` the sign of collapse.
"""

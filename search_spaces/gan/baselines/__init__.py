"""GANs to compare with, to be trained beside those that were found; each file holds one."""

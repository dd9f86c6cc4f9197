"""Published genotypes, as their authors number them.

Sources: EAGAN (marsggbo/EAGAN, exps/*.npy), AdversarialNAS (chengaopro/AdversarialNAS,
exps/arch_cifar10/Genotypes/latest_G.npy), AutoGAN (Gong et al., ICCV 2019), whose discriminator is
that of AdversarialNAS, too. AutoGAN's own generators have other blocks and are no members.
"""

from __future__ import annotations

from typing import Final

__all__ = ["DISCRIMINATORS", "GENERATORS", "PAIRS", "STL"]

GENERATORS: Final = {
    "EAGAN": [[1, 1, 1, 0, 2, 3, 1], [1, 1, 0, 1, 3, 0, 5], [0, 1, 0, 3, 0, 0, 3]],
    "AdversarialNAS": [[1, 1, 1, 0, 3, 3, 1], [1, 1, 0, 1, 3, 3, 3], [0, 1, 0, 3, 3, 0, 3]],
    "smallest": [[0, 0, 0, 1, 0, 0, 1], [0, 0, 0, 1, 0, 0, 1], [0, 0, 0, 1, 0, 0, 1]],
}
"""By name; the smallest one is nobody's but a baseline that every search should beat."""

DISCRIMINATORS: Final = {
    "AutoGAN": [[3, 0, 3, 0, 2, 0, 0], [3, 0, 3, 0, 1, -1, -1], [3, 0, 3, 0, 1, -1, -1]],
    "EAGAN_C": [[3, 0, 3, 0, 2, 0, 0], [1, 0, 3, 0, 1, -1, -1], [3, 0, 3, 0, 1, -1, -1]],
    "EAGAN_S": [[3, 0, 3, 0, 2, 0, 0], [4, 0, 4, 0, 1, -1, -1], [3, 0, 3, 0, 1, -1, -1]],
}
"""By name; C was found for CIFAR-10, S for STL-10."""

PAIRS: Final = {
    "EAGAN": ("EAGAN", "EAGAN_C"),
    "EAGAN_STL": ("EAGAN", "EAGAN_S"),
    "EAGAN_G": ("EAGAN", "AutoGAN"),
    "AdversarialNAS": ("AdversarialNAS", "AutoGAN"),
    "smallest": ("smallest", "AutoGAN"),
}
"""Name to the names of generator and discriminator."""

STL: Final = "EAGAN_S"
"""The discriminator that is published for images of 48 pixels."""

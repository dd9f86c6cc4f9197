"""Published architectures of the DARTS space, by the names their authors gave them.

Sources: DARTS (quark0/darts), PC-DARTS (yuhuixu1993/PC-DARTS), GDAS (D-X-Y/AutoDL-Projects), DrNAS
(xiangning-chen/DrNAS), SDARTS with random and adversarial perturbation (c10_s5_random and
c10_s5_pgd of xiangning-chen/SmoothDARTS), SGAS (lightaime/sgas, where names have no SGAS prefix),
DARTS-PT and its fixed-alpha variant (ruocwang/darts-pt). NASNet-A and AmoebaNet-A are not members:
they have five nodes and other operations.

Each is a pair of cells (normal, reduce). A cell lists its four nodes, separated by commas; a node
lists its two inputs as operation@source. Sources 0 and 1 are the cell's inputs, 2 to 4 the first
three nodes.
"""

from __future__ import annotations

__all__ = ["MEMBERS"]

MEMBERS: dict[str, tuple[str, str]] = {
    "DARTS_V1": (
        "sep3@0 sep3@1, skip@0 sep3@1, skip@0 sep3@1, sep3@0 skip@2",
        "max@0 max@1, max@0 skip@2, max@0 skip@2, avg@0 skip@2",
    ),
    "DARTS_V2": (
        "sep3@0 sep3@1, sep3@0 sep3@1, skip@0 sep3@1, skip@0 dil3@2",
        "max@0 max@1, max@1 skip@2, max@0 skip@2, max@1 skip@2",
    ),
    "PC_DARTS_cifar": (
        "skip@0 sep3@1, sep3@0 dil3@1, sep5@0 sep3@1, avg@0 dil3@1",
        "max@0 sep5@1, sep5@1 sep5@2, sep3@0 sep3@3, sep3@1 sep3@2",
    ),
    "PC_DARTS_image": (
        "sep3@0 skip@1, sep3@0 skip@1, sep3@1 sep3@3, sep3@1 dil5@4",
        "sep3@0 skip@1, max@1 dil5@2, sep3@1 sep3@2, sep5@0 sep3@3",
    ),
    "GDAS_V1": (
        "skip@0 skip@1, skip@0 sep5@2, skip@0 sep3@3, sep3@3 sep5@4",
        "sep5@0 sep3@1, sep5@1 sep5@2, sep3@1 dil5@2, sep5@0 sep5@1",
    ),
    "DrNAS_cifar10": (
        "sep3@0 sep5@1, sep3@1 sep3@2, skip@0 sep3@1, sep3@2 dil5@3",
        "max@0 sep5@1, sep5@1 dil5@2, sep5@1 dil5@3, sep5@1 skip@4",
    ),
    "DrNAS_imagenet": (
        "sep3@0 sep3@1, sep3@0 sep3@1, sep3@0 dil3@3, skip@0 sep3@1",
        "max@0 sep3@1, sep3@0 skip@2, sep3@0 sep3@2, sep3@1 sep3@3",
    ),
    "SDARTS_RS": (
        "sep3@0 sep3@1, skip@0 sep5@1, skip@1 sep3@3, sep3@1 dil3@2",
        "max@0 sep3@1, max@0 skip@2, max@0 dil5@3, sep3@2 sep5@3",
    ),
    "SDARTS_ADV": (
        "sep3@0 sep3@1, skip@0 sep3@1, sep5@0 dil3@3, skip@0 dil3@4",
        "max@0 sep5@1, max@0 skip@2, skip@2 skip@3, skip@2 sep5@4",
    ),
    "SGAS_Cri1_CIFAR_1": (
        "skip@0 sep3@1, sep3@0 sep5@1, sep3@1 sep3@2, dil5@2 dil3@3",
        "max@0 dil3@1, sep3@0 sep5@2, max@1 skip@2, skip@2 skip@3",
    ),
    "SGAS_Cri1_CIFAR_2": (
        "sep3@0 dil3@1, skip@0 dil3@2, sep3@1 sep3@2, sep3@2 sep5@4",
        "avg@0 sep3@1, max@0 skip@2, max@0 sep5@2, max@1 dil5@3",
    ),
    "SGAS_Cri1_CIFAR_3": (
        "sep3@0 dil3@1, sep3@0 sep3@1, sep5@1 sep5@3, skip@0 dil5@2",
        "max@0 dil5@1, sep3@0 skip@2, sep3@1 skip@2, max@0 max@1",
    ),
    "SGAS_Cri1_CIFAR_4": (
        "sep3@0 sep3@1, skip@0 skip@2, sep3@1 sep3@2, dil3@2 dil5@4",
        "avg@0 sep5@1, avg@0 dil5@2, max@0 dil5@2, max@0 skip@2",
    ),
    "SGAS_Cri1_CIFAR_5": (
        "dil5@0 sep3@1, skip@0 sep3@1, skip@0 sep3@2, dil5@2 sep5@3",
        "max@0 sep5@1, max@0 skip@2, sep3@2 sep5@3, avg@0 skip@2",
    ),
    "SGAS_Cri1_CIFAR_6": (
        "sep3@0 sep3@1, dil3@1 dil3@2, sep3@1 dil5@2, skip@1 sep3@2",
        "avg@0 max@1, max@1 dil5@2, max@0 dil3@3, skip@2 dil5@3",
    ),
    "SGAS_Cri1_CIFAR_7": (
        "sep3@0 sep5@1, skip@0 sep5@2, sep3@2 dil5@3, sep3@0 dil3@2",
        "dil3@0 avg@1, max@0 sep3@2, max@1 dil5@3, avg@0 sep5@2",
    ),
    "SGAS_Cri1_CIFAR_8": (
        "sep5@0 sep3@1, dil3@1 dil3@2, skip@0 sep3@1, dil5@1 sep3@2",
        "sep3@0 sep3@1, max@1 skip@2, max@1 sep5@2, max@0 sep5@3",
    ),
    "SGAS_Cri1_CIFAR_9": (
        "sep5@0 sep5@1, sep3@1 dil3@2, sep3@1 dil5@3, sep3@1 dil3@3",
        "avg@0 sep3@1, max@0 dil5@2, max@0 sep3@2, max@1 skip@2",
    ),
    "SGAS_Cri1_CIFAR_10": (
        "sep3@0 dil5@1, sep3@0 dil3@2, sep3@1 dil3@3, dil3@2 dil3@4",
        "max@0 sep3@1, sep3@0 sep5@2, max@0 max@1, max@0 sep3@2",
    ),
    "SGAS_Cri2_CIFAR_1": (
        "sep3@0 sep3@1, sep5@0 sep5@1, skip@0 sep5@2, sep3@1 dil5@2",
        "max@0 sep5@1, max@1 sep3@2, max@0 sep3@3, sep3@0 dil5@2",
    ),
    "SGAS_Cri2_CIFAR_2": (
        "sep3@0 sep3@1, sep3@0 skip@2, sep5@1 sep3@2, dil5@1 sep3@2",
        "avg@0 max@1, max@0 sep5@2, max@0 dil5@2, avg@0 max@1",
    ),
    "SGAS_Cri2_CIFAR_3": (
        "sep3@0 sep3@1, sep3@0 sep3@2, max@0 sep3@3, sep3@2 sep3@3",
        "sep3@0 max@1, dil3@0 max@1, max@0 sep3@2, max@0 sep5@2",
    ),
    "SGAS_Cri2_CIFAR_4": (
        "sep3@0 sep3@1, sep3@0 sep3@1, dil5@0 dil3@2, sep3@1 dil5@3",
        "sep5@0 dil3@1, max@0 max@1, dil3@0 dil5@2, max@0 avg@1",
    ),
    "SGAS_Cri2_CIFAR_5": (
        "sep3@0 sep5@1, skip@0 sep5@1, dil3@1 dil3@2, sep3@2 dil5@3",
        "sep5@0 skip@1, max@1 sep5@2, max@0 sep5@3, max@0 skip@2",
    ),
    "SGAS_Cri2_CIFAR_6": (
        "sep3@0 sep3@1, sep3@0 dil5@2, sep3@1 sep3@3, dil5@2 dil3@3",
        "sep5@0 sep5@1, max@0 max@1, avg@0 sep5@3, max@0 skip@2",
    ),
    "SGAS_Cri2_CIFAR_7": (
        "sep3@0 sep3@1, sep3@0 sep3@1, skip@1 dil3@2, sep5@1 dil5@3",
        "max@0 avg@1, max@1 dil5@2, max@1 skip@2, max@0 sep3@2",
    ),
    "SGAS_Cri2_CIFAR_8": (
        "sep3@0 sep5@1, sep3@0 sep3@1, sep5@1 sep5@2, sep3@1 dil5@3",
        "avg@0 skip@1, max@0 skip@2, max@0 sep5@2, max@1 skip@2",
    ),
    "SGAS_Cri2_CIFAR_9": (
        "max@0 sep5@1, sep5@0 sep5@1, dil3@1 dil3@3, sep3@1 dil3@3",
        "sep3@0 sep5@1, max@0 dil5@2, dil5@2 sep3@3, avg@0 max@1",
    ),
    "SGAS_Cri2_CIFAR_10": (
        "sep3@0 sep5@1, sep5@1 dil5@2, sep3@2 dil5@3, max@0 dil3@3",
        "avg@0 skip@1, sep5@0 skip@2, max@0 sep5@2, max@1 dil3@2",
    ),
    "darts_pt_s5_0": (
        "sep3@0 sep3@1, sep5@0 dil3@1, skip@0 skip@2, skip@0 max@4",
        "sep3@0 avg@1, dil5@1 dil3@2, avg@0 max@2, sep3@2 skip@4",
    ),
    "darts_pt_s5_1": (
        "sep3@0 sep3@1, sep3@0 dil3@1, max@0 skip@2, skip@0 dil3@4",
        "dil5@0 avg@1, max@0 sep5@2, max@1 dil3@3, sep5@0 sep3@4",
    ),
    "darts_pt_s5_2": (
        "skip@0 sep3@1, sep3@0 dil3@1, skip@2 dil3@3, max@1 skip@2",
        "avg@0 max@1, avg@0 sep3@1, dil5@2 skip@3, sep3@2 sep5@4",
    ),
    "darts_pt_s5_3": (
        "sep3@0 sep3@1, sep3@0 sep3@1, skip@0 skip@2, sep3@1 skip@3",
        "avg@0 sep5@1, max@1 skip@2, dil5@1 max@3, sep5@2 skip@3",
    ),
    "blank_pt_s5_0": (
        "sep3@0 sep5@1, sep3@0 sep3@1, avg@1 skip@3, max@0 avg@2",
        "skip@0 sep5@1, dil3@1 sep5@2, max@0 skip@3, max@0 max@2",
    ),
    "blank_pt_s5_1": (
        "avg@0 avg@1, sep3@0 max@2, skip@2 sep3@3, sep5@0 sep5@1",
        "max@0 dil5@1, sep3@0 skip@1, avg@2 max@3, sep5@3 sep5@4",
    ),
    "blank_pt_s5_2": (
        "avg@0 dil3@1, sep5@0 max@1, max@0 skip@1, sep5@1 avg@2",
        "sep3@0 avg@1, avg@0 sep5@1, max@0 sep5@3, max@2 dil5@4",
    ),
    "blank_pt_s5_3": (
        "sep3@0 sep3@1, sep3@0 skip@1, max@2 sep3@3, avg@0 sep5@1",
        "dil5@0 sep5@1, sep5@0 dil3@1, avg@1 skip@2, max@0 skip@4",
    ),
}

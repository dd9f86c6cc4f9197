"""Published architectures of the spaces S1 to S4, by the names their authors gave them.

Found by DARTS-PT and its fixed-alpha variant (ruocwang/darts-pt) on CIFAR-10, CIFAR-100 (c100) and
SVHN (svhn).

Each is a pair of cells (normal, reduce). A cell lists its four nodes, separated by commas; a node
lists its two inputs as operation@source. Sources 0 and 1 are the cell's inputs, 2 to 4 the first
three nodes.
"""

from __future__ import annotations

__all__ = ["MEMBERS"]

MEMBERS: dict[str, dict[str, tuple[str, str]]] = {
    "s1": {
        "darts_pt_s1_1": (
            "skip@0 skip@1, skip@0 skip@1, skip@0 skip@1, dil3@3 dil5@4",
            "max@0 dil3@1, max@0 max@1, sep3@1 skip@3, skip@2 dil5@3",
        ),
        "darts_pt_s1_2": (
            "dil3@0 skip@1, skip@0 skip@2, skip@0 skip@3, dil3@3 dil5@4",
            "max@0 max@1, max@0 max@1, sep3@1 skip@2, skip@2 dil5@4",
        ),
        "blank_pt_s1_1": (
            "skip@0 dil5@1, sep3@1 skip@2, max@0 skip@3, sep3@0 max@1",
            "avg@0 max@1, max@0 max@1, skip@2 dil5@3, dil5@2 skip@3",
        ),
        "blank_pt_s1_2": (
            "skip@0 skip@1, sep3@1 skip@2, max@0 sep3@1, skip@2 dil5@3",
            "avg@0 dil3@1, max@1 dil5@2, avg@0 skip@3, skip@2 dil5@3",
        ),
        "darts_pt_s1_c100_1": (
            "skip@0 skip@1, dil5@0 skip@2, sep3@2 skip@3, sep3@0 skip@2",
            "max@0 max@1, max@1 dil5@2, sep3@1 skip@2, skip@2 dil5@3",
        ),
        "darts_pt_s1_c100_2": (
            "dil3@0 skip@1, skip@0 skip@2, skip@0 dil3@3, skip@2 dil5@3",
            "avg@0 max@1, max@0 dil5@2, avg@0 sep3@1, max@1 skip@4",
        ),
        "blank_pt_s1_c100_1": (
            "skip@0 dil5@1, sep3@1 skip@2, max@0 skip@3, sep3@0 max@1",
            "max@0 dil3@1, max@1 skip@2, sep3@1 dil5@3, skip@3 skip@4",
        ),
        "blank_pt_s1_c100_2": (
            "skip@0 dil5@1, skip@0 sep3@1, max@0 skip@3, sep3@0 max@1",
            "max@0 dil3@1, avg@1 skip@2, max@1 dil5@3, dil5@2 skip@3",
        ),
        "darts_pt_s1_svhn_1": (
            "skip@0 skip@1, dil5@0 skip@2, max@0 sep3@2, dil3@3 dil3@4",
            "max@0 dil3@1, avg@1 dil5@2, skip@2 dil5@3, avg@0 skip@4",
        ),
        "darts_pt_s1_svhn_2": (
            "skip@0 skip@1, dil5@0 skip@2, max@0 skip@3, dil3@3 dil3@4",
            "avg@0 max@1, avg@0 dil5@2, sep3@1 dil5@3, skip@3 skip@4",
        ),
        "blank_pt_s1_svhn_1": (
            "dil3@0 dil5@1, sep3@1 skip@2, sep3@2 skip@3, dil5@3 dil5@4",
            "avg@0 max@1, avg@1 skip@2, skip@2 dil5@3, skip@3 dil5@4",
        ),
        "blank_pt_s1_svhn_2": (
            "dil3@0 dil5@1, sep3@1 dil3@2, sep3@1 sep3@2, sep3@0 max@1",
            "avg@0 dil3@1, max@0 avg@1, avg@0 skip@2, max@1 dil5@4",
        ),
    },
    "s2": {
        "darts_pt_s2_1": (
            "skip@0 skip@1, sep3@0 skip@2, sep3@1 skip@3, sep3@1 sep3@4",
            "sep3@0 sep3@1, sep3@0 skip@2, sep3@0 skip@2, sep3@1 skip@4",
        ),
        "darts_pt_s2_2": (
            "skip@0 sep3@1, skip@1 skip@2, sep3@0 skip@3, skip@3 sep3@4",
            "sep3@0 sep3@1, sep3@0 skip@2, sep3@1 sep3@3, sep3@1 skip@3",
        ),
        "blank_pt_s2_1": (
            "sep3@0 sep3@1, skip@0 skip@2, sep3@1 sep3@2, sep3@0 skip@3",
            "sep3@0 sep3@1, sep3@1 skip@2, sep3@0 skip@3, sep3@2 skip@4",
        ),
        "blank_pt_s2_2": (
            "sep3@0 sep3@1, sep3@0 sep3@2, sep3@0 sep3@1, sep3@0 skip@4",
            "sep3@0 sep3@1, sep3@0 sep3@2, sep3@0 skip@1, sep3@1 sep3@2",
        ),
        "darts_pt_s2_c100_1": (
            "skip@0 sep3@1, sep3@0 skip@2, sep3@1 skip@3, skip@3 sep3@4",
            "sep3@0 sep3@1, skip@0 skip@2, skip@0 skip@3, sep3@2 skip@4",
        ),
        "darts_pt_s2_c100_2": (
            "skip@0 sep3@1, sep3@0 skip@2, skip@2 sep3@3, skip@3 sep3@4",
            "sep3@0 sep3@1, skip@1 skip@2, sep3@1 skip@3, sep3@0 skip@3",
        ),
        "blank_pt_s2_c100_1": (
            "skip@0 sep3@1, sep3@0 skip@2, sep3@0 sep3@1, skip@3 skip@4",
            "sep3@0 sep3@1, sep3@0 sep3@1, sep3@1 skip@2, skip@3 skip@4",
        ),
        "blank_pt_s2_c100_2": (
            "skip@0 sep3@1, sep3@0 skip@2, skip@0 sep3@1, skip@3 skip@4",
            "sep3@0 sep3@1, sep3@0 sep3@1, sep3@1 skip@2, sep3@2 skip@4",
        ),
        "darts_pt_s2_svhn_1": (
            "sep3@0 skip@1, skip@0 skip@2, sep3@0 skip@3, sep3@1 sep3@4",
            "sep3@0 skip@1, skip@0 sep3@2, skip@2 sep3@3, skip@3 sep3@4",
        ),
        "darts_pt_s2_svhn_2": (
            "skip@0 skip@1, sep3@0 skip@2, sep3@0 sep3@3, sep3@2 skip@4",
            "sep3@0 skip@1, skip@0 skip@2, sep3@1 sep3@2, sep3@0 sep3@4",
        ),
        "blank_pt_s2_svhn_1": (
            "sep3@0 sep3@1, skip@1 sep3@2, sep3@1 sep3@2, sep3@1 sep3@3",
            "sep3@0 skip@1, sep3@0 sep3@2, sep3@2 sep3@3, skip@2 skip@4",
        ),
        "blank_pt_s2_svhn_2": (
            "sep3@0 sep3@1, sep3@1 sep3@2, sep3@1 sep3@3, sep3@3 skip@4",
            "sep3@0 sep3@1, sep3@0 sep3@2, skip@1 sep3@3, sep3@0 skip@2",
        ),
    },
    "s3": {
        "darts_pt_s3_1": (
            "sep3@0 sep3@1, sep3@0 skip@1, skip@0 skip@2, sep3@0 sep3@1",
            "sep3@0 skip@1, sep3@0 skip@2, sep3@0 skip@3, skip@3 sep3@4",
        ),
        "darts_pt_s3_2": (
            "sep3@0 sep3@1, skip@0 sep3@1, skip@0 sep3@3, sep3@1 skip@4",
            "sep3@0 sep3@1, sep3@0 skip@1, sep3@0 sep3@1, sep3@2 skip@3",
        ),
        "blank_pt_s3_1": (
            "sep3@0 skip@1, skip@0 sep3@1, sep3@0 skip@2, skip@3 skip@4",
            "sep3@0 sep3@1, sep3@0 sep3@2, sep3@0 sep3@1, sep3@1 sep3@3",
        ),
        "blank_pt_s3_2": (
            "sep3@0 sep3@1, sep3@0 skip@1, sep3@0 sep3@1, skip@0 sep3@2",
            "sep3@0 sep3@1, sep3@0 sep3@1, sep3@0 skip@3, skip@2 skip@3",
        ),
        "darts_pt_s3_c100_1": (
            "sep3@0 sep3@1, sep3@0 sep3@1, skip@0 skip@1, sep3@0 sep3@1",
            "sep3@0 skip@1, sep3@0 skip@2, skip@2 sep3@3, sep3@1 skip@3",
        ),
        "darts_pt_s3_c100_2": (
            "sep3@0 skip@1, sep3@0 skip@1, sep3@0 sep3@3, sep3@1 skip@4",
            "sep3@0 skip@1, sep3@0 skip@2, skip@1 skip@3, sep3@2 skip@4",
        ),
        "blank_pt_s3_c100_1": (
            "sep3@0 sep3@1, skip@0 skip@2, sep3@0 sep3@1, sep3@0 sep3@4",
            "sep3@0 skip@1, sep3@0 sep3@1, skip@2 sep3@3, sep3@1 skip@3",
        ),
        "blank_pt_s3_c100_2": (
            "sep3@0 sep3@1, skip@0 sep3@1, skip@0 sep3@3, sep3@0 sep3@1",
            "sep3@0 sep3@1, sep3@0 sep3@1, sep3@2 skip@3, skip@0 sep3@1",
        ),
        "darts_pt_s3_svhn_1": (
            "sep3@0 skip@1, sep3@1 sep3@2, skip@2 skip@3, sep3@3 sep3@4",
            "sep3@0 skip@1, skip@1 sep3@2, skip@2 sep3@3, sep3@3 sep3@4",
        ),
        "darts_pt_s3_svhn_2": (
            "skip@0 skip@1, skip@0 skip@1, sep3@1 sep3@3, sep3@0 skip@4",
            "skip@0 sep3@1, sep3@1 sep3@2, sep3@2 sep3@3, skip@2 sep3@4",
        ),
        "blank_pt_s3_svhn_1": (
            "sep3@0 sep3@1, sep3@1 skip@2, sep3@0 skip@3, sep3@1 sep3@3",
            "sep3@0 sep3@1, skip@1 sep3@2, sep3@2 sep3@3, skip@2 sep3@4",
        ),
        "blank_pt_s3_svhn_2": (
            "sep3@0 sep3@1, sep3@0 sep3@1, sep3@1 sep3@2, sep3@0 sep3@1",
            "sep3@0 sep3@1, skip@1 sep3@2, skip@0 sep3@3, sep3@2 sep3@4",
        ),
    },
    "s4": {
        "darts_pt_s4_1": (
            "sep3@0 sep3@1, sep3@0 sep3@1, sep3@0 sep3@1, sep3@1 sep3@2",
            "sep3@0 sep3@1, sep3@0 sep3@2, sep3@0 sep3@3, sep3@0 sep3@1",
        ),
        "darts_pt_s4_2": (
            "sep3@0 sep3@1, sep3@0 sep3@1, sep3@0 sep3@3, sep3@0 sep3@1",
            "sep3@0 sep3@1, sep3@0 sep3@1, sep3@0 sep3@1, sep3@0 sep3@2",
        ),
        "blank_pt_s4_1": (
            "sep3@0 sep3@1, sep3@0 sep3@1, sep3@0 sep3@1, sep3@0 sep3@1",
            "sep3@0 sep3@1, sep3@0 sep3@2, sep3@0 sep3@3, sep3@0 sep3@1",
        ),
        "blank_pt_s4_2": (
            "sep3@0 sep3@1, sep3@0 sep3@1, sep3@0 sep3@1, sep3@0 sep3@1",
            "sep3@0 sep3@1, sep3@0 sep3@1, sep3@0 sep3@1, sep3@0 sep3@1",
        ),
        "darts_pt_s4_c100_1": (
            "sep3@0 sep3@1, sep3@0 sep3@1, sep3@0 sep3@1, sep3@0 sep3@1",
            "sep3@0 sep3@1, sep3@0 sep3@1, sep3@0 sep3@1, sep3@0 sep3@1",
        ),
        "darts_pt_s4_c100_2": (
            "sep3@0 sep3@1, sep3@0 sep3@1, sep3@0 sep3@1, sep3@0 sep3@1",
            "sep3@0 sep3@1, sep3@0 sep3@1, sep3@0 sep3@2, sep3@0 sep3@4",
        ),
        "blank_pt_s4_c100_1": (
            "sep3@0 sep3@1, sep3@0 sep3@1, sep3@0 sep3@1, sep3@0 sep3@1",
            "sep3@0 sep3@1, sep3@0 sep3@2, sep3@0 sep3@3, sep3@0 sep3@1",
        ),
        "blank_pt_s4_c100_2": (
            "sep3@0 sep3@1, sep3@0 sep3@1, sep3@0 sep3@1, sep3@0 sep3@1",
            "sep3@0 sep3@1, sep3@0 sep3@2, sep3@0 sep3@1, sep3@0 sep3@1",
        ),
        "darts_pt_s4_svhn_1": (
            "sep3@0 sep3@1, sep3@0 sep3@1, sep3@0 sep3@1, sep3@1 sep3@2",
            "sep3@0 sep3@1, sep3@0 sep3@2, sep3@0 sep3@3, sep3@0 sep3@1",
        ),
        "darts_pt_s4_svhn_2": (
            "sep3@0 sep3@1, sep3@0 sep3@2, sep3@1 sep3@3, sep3@0 sep3@1",
            "sep3@0 sep3@1, sep3@0 sep3@2, sep3@0 sep3@2, sep3@1 sep3@3",
        ),
        "blank_pt_s4_svhn_1": (
            "sep3@0 sep3@1, sep3@0 sep3@1, sep3@1 sep3@2, sep3@0 sep3@1",
            "sep3@0 sep3@1, sep3@1 sep3@2, sep3@1 sep3@3, sep3@0 sep3@2",
        ),
        "blank_pt_s4_svhn_2": (
            "sep3@0 sep3@1, sep3@0 sep3@1, sep3@0 sep3@1, sep3@0 sep3@1",
            "sep3@0 sep3@1, sep3@0 sep3@1, sep3@2 sep3@3, sep3@1 sep3@4",
        ),
    },
}

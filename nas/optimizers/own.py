"""Our own optimizers as rows of the table; torch-free."""

from __future__ import annotations

from nas.optimizers import settings
from nas.optimizers.member import Member, Traits

LION = Member(
    settings.LionSettings,
    "nas.optimizers.lion:lion",
    Traits("Chen et al., NeurIPS 2023", "adamw", 0.1, (1e-4, 3e-3), copies=1),
)
ADAMP = Member(
    settings.AdampSettings,
    "nas.optimizers.projected:adamp",
    Traits("Heo et al., ICLR 2021", "adamw", 1.0, (3e-4, 2e-2), copies=2),
)
SGDP = Member(
    settings.SgdpSettings,
    "nas.optimizers.projected:sgdp",
    Traits("Heo et al., ICLR 2021", "sgd", 1.0, (0.01, 0.3), copies=1),
)
SM3 = Member(
    settings.Sm3Settings,
    "nas.optimizers.sm3:sm3",
    Traits("Anil et al., NeurIPS 2019", "sgd", 1.0, (0.01, 0.5), copies=1),
)
MFAC = Member(
    settings.MfacSettings,
    "nas.optimizers.mfac:mfac",
    Traits(
        "Frantar, Kurtic & Alistarh, NeurIPS 2021",
        "sgd",
        0.1,
        (1e-3, 3e-2),
        copies=66,
        excludes=frozenset({"sam", "sam-k", "looksam"}),
        warning="as many copies of the weights as its window is long (64)",
    ),
)

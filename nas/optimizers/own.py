"""Our own optimizers as rows of the table; torch-free."""

from __future__ import annotations

from nas.optimizers import settings
from nas.optimizers.member import Member, Traits

WRAPPERS = frozenset({"sam", "sam-k", "looksam", "conadv"})

LION = Member(
    settings.LionSettings,
    "nas.optimizers.lion:lion",
    Traits("Chen et al., NeurIPS 2023", "adamw", 0.1, (1e-4, 3e-3), decays=(1e-2, 3.0), copies=1),
)
ADAMP = Member(
    settings.AdampSettings,
    "nas.optimizers.projected:adamp",
    Traits("Heo et al., ICLR 2021", "adamw", 1.0, (3e-4, 2e-2), decays=(1e-3, 0.5), copies=2),
)
SGDP = Member(
    settings.SgdpSettings,
    "nas.optimizers.projected:sgdp",
    Traits("Heo et al., ICLR 2021", "sgd", 1.0, (0.01, 0.3), decays=(1e-5, 1e-2), copies=1),
)
SM3 = Member(
    settings.Sm3Settings,
    "nas.optimizers.sm3:sm3",
    Traits("Anil et al., NeurIPS 2019", "sgd", 1.0, (0.01, 0.5), decays=(1e-5, 1e-3), copies=1),
)
MFAC = Member(
    settings.MfacSettings,
    "nas.optimizers.mfac:mfac",
    Traits(
        "Frantar, Kurtic & Alistarh, NeurIPS 2021",
        "sgd",
        0.1,
        (1e-3, 3e-2),
        decays=(1e-5, 1e-2),
        copies=66,
        excludes=WRAPPERS,
        warning="as many copies of the weights as its window is long (64)",
    ),
)
SOPHIA_G = Member(
    settings.SophiaGSettings,
    "nas.optimizers.sophia:sophia_g",
    Traits(
        "Liu et al., ICLR 2024",
        "adamw",
        0.3,
        (1e-4, 1e-2),
        decays=(1e-3, 0.5),
        gradients=1.1,
        copies=2,
        excludes=WRAPPERS,
    ),
)
SOPHIA_H = Member(
    settings.SophiaHSettings,
    "nas.optimizers.sophia:sophia_h",
    Traits(
        "Liu et al., ICLR 2024",
        "adamw",
        30.0,
        (0.02, 1.0),
        gradients=1.2,
        copies=2,
        excludes=WRAPPERS,
    ),
)
MEZO = Member(
    settings.MezoSettings,
    "nas.optimizers.mezo:mezo",
    Traits(
        "Malladi et al., NeurIPS 2023",
        "sgd",
        0.01,
        (1e-6, 1e-2),
        gradients=2 / 3,
        copies=0,
        excludes=WRAPPERS,
        warning="fine-tunes only: from scratch it ends near chance (digits, 30 epochs: 11 %)",
    ),
)
MUON = Member(
    settings.MuonSettings,
    "nas.optimizers.muon:muon",
    Traits("Jordan et al., 2024", "sgd", 0.3, (0.01, 0.3), decays=(1e-3, 0.3), copies=1),
)

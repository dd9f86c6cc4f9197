"""The generator of EAGAN, alone or with every operation on every edge."""

from __future__ import annotations

from torch import Tensor, nn

from search_spaces.gan.genes import GENERATOR, Genotype, candidates, living_generator
from search_spaces.gan.operations import (
    Edge,
    Enlarged,
    convolution,
    enlarged,
    held,
    operation,
    total,
)

__all__ = ["Generator", "UpCell"]


class UpCell(nn.Module):
    """A cell of a generator: its input enlarged twice, two nodes that read that.

    Args:
        row: Names of its operations, in the order of `GENERATOR`.
        channels: How many there are everywhere.
        before: How many cells come before; node 2 gets node 2 of each of them.
        mode: How those are enlarged, ``nearest`` or ``bilinear``.
        every: Hold every operation, not only those of `row`.
    """

    def __init__(
        self, row: tuple[str, ...], channels: int, before: int, mode: str, every: bool
    ) -> None:
        super().__init__()
        self.mode = mode
        self.edges = nn.ModuleDict()
        for gene, name in zip(GENERATOR, row, strict=True):
            edge = Edge()
            for one in held(name, candidates(gene), every):
                if gene.startswith("up"):
                    edge[one] = Enlarged(one, channels)
                else:
                    edge[one] = operation(one, channels, activated=True, spectral=False)
            self.edges[gene.replace("<-", "_")] = edge
        self.skips = nn.ModuleList(convolution(channels, channels, 1) for _ in range(before))

    def forward(
        self, x: Tensor, earlier: list[Tensor | None], row: tuple[str, ...], alive: frozenset[str]
    ) -> tuple[Tensor | None, Tensor]:
        """Map ``(B, channels, H, W)`` to ``(B, channels, 2H, 2W)``.

        Args:
            x: The cell's input.
            earlier: Node 2 of the cells before.
            row: Which operation to take on each edge.
            alive: Which edges matter; what does not is not computed.

        Returns:
            Node 2, None where nothing reads it, and node 3.
        """
        names = dict(zip(GENERATOR, row, strict=True))

        def on(gene: str, state: Tensor) -> Tensor:
            found: Tensor = self.edges[gene.replace("<-", "_")](state, names[gene])
            return found

        states = {gene[-1]: on(gene, x) for gene in ("up0", "up1") if gene in alive}

        def into(node: str) -> list[Tensor]:
            genes = [gene for gene in GENERATOR if gene in alive and gene.startswith(node)]
            return [on(gene, states[gene[-1]]) for gene in genes]

        if "skips" in alive:
            size = (2 * x.shape[-2], 2 * x.shape[-1])
            terms = into("2")
            for conv, state in zip(self.skips, earlier, strict=True):
                if state is not None:
                    terms.append(conv(enlarged(state, size, self.mode)))
            states["2"] = total(terms)
        return states.get("2"), total(into("3"))


class Generator(nn.Module):
    """Three cells that each double the size (EAGAN, section 3.2; widths as published).

    A third of the latent vector becomes, by a linear layer, the smallest map; the other two are
    added to the output of the first and the second cell. Batch normalisation, ReLU, a 3x3
    convolution and tanh make the image.

    Normalisation is that of `nn.BatchNorm2d`. One that holds every operation has one running mean
    and variance for all paths: see `search_spaces.gan.sharing.recalibrate` before it is put in
    evaluation mode.

    Args:
        rows: Names of the operations, a row a cell, in the order of `GENERATOR`.
        image_shape: Channels, height, width of an image; the sides are equal and a multiple of 8.
        channels: How many there are everywhere.
        latent: Length of the latent vector, a multiple of 3.
        every: Hold every operation on every edge; `rows` is then the path where none is named.

    Attributes:
        arguments: The arguments.
        rows: The path that is taken where none is named.
        latent: Length of the latent vector.
        recordable: A pass does the same work every time (see `nas.training.gradients`).
    """

    recordable = True

    def __init__(
        self,
        rows: Genotype,
        image_shape: tuple[int, int, int],
        *,
        channels: int = 256,
        latent: int = 120,
        every: bool = False,
    ) -> None:
        super().__init__()
        self.rows = tuple(tuple(row) for row in rows)
        self.arguments = {
            "rows": [list(row) for row in rows],
            "image_shape": tuple(image_shape),
            "channels": channels,
            "latent": latent,
            "every": every,
        }
        self.channels, self.latent = channels, latent
        self.bottom = image_shape[1] // 2 ** len(self.rows)
        self.dense = nn.ModuleList(
            nn.Linear(latent // len(self.rows), channels * (self.bottom * 2**k) ** 2)
            for k in range(len(self.rows))
        )
        self.cells = nn.ModuleList(
            UpCell(row, channels, k, "bilinear" if k == 1 else "nearest", every)
            for k, row in enumerate(self.rows)
        )
        self.norm = nn.BatchNorm2d(channels)
        nn.init.normal_(self.norm.weight, 1.0, 0.02)
        self.to_image = convolution(channels, image_shape[0], 3)

    def forward(self, z: Tensor, path: Genotype | None = None) -> Tensor:
        """Map latent vectors ``(B, latent)`` to images ``(B, C, H, W)`` in [-1, 1].

        Args:
            z: Standard normal numbers.
            path: Which operations to take, as `rows`; by default `rows`.
        """
        rows = self.rows if path is None else tuple(tuple(row) for row in path)
        alive = living_generator(rows)
        side, x = self.bottom, None
        seconds: list[Tensor | None] = []
        for k, part in enumerate(z.chunk(len(rows), dim=1)):
            fresh = self.dense[k](part).view(-1, self.channels, side, side)
            second, x = self.cells[k](fresh if x is None else x + fresh, seconds, rows[k], alive[k])
            seconds.append(second)
            side *= 2
        image: Tensor = self.to_image(self.norm(x).relu()).tanh()
        return image

"""The discriminator of EAGAN, alone or with every operation on every edge."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import spectral_norm

from search_spaces.gan.genes import DISCRIMINATOR, Genotype, candidates, living_discriminator
from search_spaces.gan.operations import Edge, Shrunk, convolution, down, held, operation, total

__all__ = ["Discriminator", "DownCell", "FirstBlock"]


class FirstBlock(nn.Module):
    """The residual block that reads the image (Miyato et al., ICLR 2018): no activation before it.

    Args:
        inputs: Channels of an image.
        channels: Channels after it.
        spectral: Divide weights by their largest singular value.
    """

    def __init__(self, inputs: int, channels: int, spectral: bool) -> None:
        super().__init__()
        self.conv1 = convolution(inputs, channels, 3, spectral=spectral)
        self.conv2 = convolution(channels, channels, 3, spectral=spectral)
        self.shortcut = convolution(inputs, channels, 1, spectral=spectral)
        self.pool = Shrunk("avg_pool")

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, inputs, H, W)`` to ``(B, channels, H / 2, W / 2)``."""
        y: Tensor = self.pool(self.conv2(self.conv1(x).relu()))
        y = y + self.shortcut(self.pool(x))
        return y


class DownCell(nn.Module):
    """A cell of a discriminator: three nodes after its input, of which it sums the last two.

    Args:
        row: Names of its operations, in the order of `DISCRIMINATOR`.
        channels: How many there are everywhere.
        spectral: Divide weights by their largest singular value.
        every: Hold every operation, not only those of `row`.
    """

    def __init__(self, row: tuple[str, ...], channels: int, spectral: bool, every: bool) -> None:
        super().__init__()
        self.edges = nn.ModuleDict()
        for gene, name in zip(DISCRIMINATOR, row, strict=True):
            edge = Edge()
            for one in held(name, candidates(gene), every):
                if gene.startswith("down"):
                    edge[one] = down(one, channels, spectral=spectral)
                else:
                    first = gene != "3<-0"  # the one edge whose convolution has no ReLU before it
                    edge[one] = operation(one, channels, activated=first, spectral=spectral)
            self.edges[gene.replace("<-", "_")] = edge

    def forward(self, x: Tensor, row: tuple[str, ...], alive: frozenset[str]) -> Tensor:
        """Map ``(B, channels, H, W)`` to the same, or half the size, rounded up.

        Args:
            x: The cell's input.
            row: Which operation to take on each edge.
            alive: Which edges matter; what does not is not computed.
        """
        names = dict(zip(DISCRIMINATOR, row, strict=True))
        states = {"0": x}
        for node in "123":
            terms = []
            for gene in DISCRIMINATOR:
                if gene.startswith(node) and gene in alive:
                    edge = self.edges[gene.replace("<-", "_")]
                    terms.append(edge(states[gene[-1]], names[gene]))
            if terms:
                states[node] = total(terms)
        ends = []
        for node in "23":
            gene = f"down{node}"
            end = states[node]
            ends.append(self.edges[gene](end, names[gene]) if gene in alive else end)
        return total(ends)


class Discriminator(nn.Module):
    """A residual block and three cells, then the sum over all pixels and a linear layer.

    Every halving rounds up, so a map of one pixel stays one pixel.

    Args:
        rows: Names of the operations, a row a cell, in the order of `DISCRIMINATOR`.
        image_shape: Channels, height, width of an image.
        channels: How many there are everywhere.
        spectral_norm: Divide all weights by their largest singular values, as published; without,
            the loss must do what this is for.
        every: Hold every operation on every edge; `rows` is then the path where none is named.
        bias: Add a bias to the score, which that of EAGAN has not.

    Attributes:
        arguments: The arguments.
        rows: The path that is taken where none is named.
        scores_apart: An image's score is a matter of that image alone, whatever is in its batch.
        recordable: A pass does the same work every time (see `nas.training.gradients`).
    """

    scores_apart = True
    recordable = True

    def __init__(
        self,
        rows: Genotype,
        image_shape: tuple[int, int, int],
        *,
        channels: int = 128,
        spectral_norm: bool = True,
        every: bool = False,
        bias: bool = False,
    ) -> None:
        super().__init__()
        self.rows = tuple(tuple(row) for row in rows)
        self.arguments = {
            "rows": [list(row) for row in rows],
            "image_shape": tuple(image_shape),
            "channels": channels,
            "spectral_norm": spectral_norm,
            "every": every,
            "bias": bias,
        }
        self.first = FirstBlock(image_shape[0], channels, spectral_norm)
        self.cells = nn.ModuleList(
            DownCell(row, channels, spectral_norm, every) for row in self.rows
        )
        self.score = score(channels, spectral_norm, bias)

    def forward(self, x: Tensor, path: Genotype | None = None) -> Tensor:
        """Map images ``(B, C, H, W)`` to scores ``(B, 1)``, large for what looks real.

        Args:
            x: Images in [-1, 1].
            path: Which operations to take, as `rows`; by default `rows`.
        """
        rows = self.rows if path is None else tuple(tuple(row) for row in path)
        y: Tensor = self.first(x)
        for cell, row, alive in zip(self.cells, rows, living_discriminator(rows), strict=True):
            y = cell(y, row, alive)
        y = self.score(functional.relu(y).sum((2, 3)))
        return y


def score(channels: int, spectral: bool, bias: bool) -> nn.Module:
    """The linear layer that makes one number of the features."""
    made = nn.Linear(channels, 1, bias=bias)
    return spectral_norm(made) if spectral else made

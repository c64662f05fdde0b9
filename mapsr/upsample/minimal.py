"""3 x 3 convolutions with a quarter of the multiplications, channels last.

A tile of 4 x 4 outputs needs 6 x 6 inputs. Both the inputs and the kernel are polynomials in two
variables; their product is found from its values at 6 x 6 points, one multiplication each, where
the sums themselves take 16 x 9. What lies before and behind, the values at the points and the
outputs from them, are products with two small matrices that serve all channels alike.

Source: Winograd, Arithmetic Complexity of Computations, 1980, doi:10.1137/1.9781611970364; for
networks Lavin and Gray, Fast Algorithms for Convolutional Neural Networks, CVPR 2016,
doi:10.1109/CVPR.2016.435.
"""

from functools import lru_cache
from math import prod

import torch
import torch.nn.functional as F
from torch import Tensor

TAPS = 3
OUTPUTS = 4
SIDE = OUTPUTS + TAPS - 1
# The last point is infinity. Reciprocal pairs keep powers small: rounding errors are less than half
# of those of the usual 0, 1, -1, 2, -2 (why: Barabasz et al. 2020, doi:10.1145/3412380).
POINTS = (0.0, 2 / 3, -2 / 3, 3 / 2, -3 / 2)
# Of fewer channels, the outputs' way back from the points costs more than the sums themselves.
FEWEST = 32


class Convolution:
    """A convolution of maps that already have their margin.

    One of 3 x 3 on a CPU in float32 goes by minimal filtering, whose results differ from the direct
    sums by a few roundings; all others by torch's own, which knows what is fast there.

    Attributes:
        minimal: whether it goes so; then ``OUTPUTS`` rows at a time, or a multiple, waste nothing.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None = None) -> None:
        """Take weight (O, C, k, k) and bias (O,)."""
        self.weight, self.bias = weight, bias
        plain = weight.dtype == torch.float32 and weight.device.type == "cpu"
        self.minimal = plain and weight.shape[2] == TAPS and weight.shape[1] >= FEWEST
        if self.minimal:
            kernel, _, _ = transforms()
            products = torch.einsum("ki,ocij,lj->klco", kernel, weight.double(), kernel)
            self.products = products.flatten(0, 1).float()  # (36, C, O)

    def __call__(self, x: Tensor) -> Tensor:
        """(B, h + k - 1, w + k - 1, C) to (B, h, w, O)."""
        if not self.minimal:
            return F.conv2d(x.permute(0, 3, 1, 2), self.weight, self.bias).permute(0, 2, 3, 1)
        analyse, join = _planes()
        batch, height, width = len(x), x.shape[1] - TAPS + 1, x.shape[2] - TAPS + 1
        down, across = -(-height // OUTPUTS), -(-width // OUTPUTS)
        low, right = down * OUTPUTS - height, across * OUTPUTS - width  # what the last tiles lack
        if low or right:
            x = F.pad(x, (0, 0, 0, right, 0, low))
        tiles = x.unfold(1, SIDE, OUTPUTS).unfold(2, SIDE, OUTPUTS)  # (B, down, across, C, 6, 6)
        values = tiles.permute(4, 5, 0, 1, 2, 3).reshape(SIDE**2, -1)
        at_points = (analyse @ values).view(SIDE**2, -1, x.shape[3])
        products = torch.bmm(at_points, self.products).flatten(1)
        out = (join @ products).view(OUTPUTS, OUTPUTS, batch, down, across, -1)
        whole = out.permute(2, 3, 0, 4, 1, 5).flatten(3, 4).flatten(1, 2)
        if self.bias is not None:
            whole += self.bias
        return whole[:, :height, :width]


@lru_cache(maxsize=1)
def transforms() -> tuple[Tensor, Tensor, Tensor]:
    """The matrices of one axis, float64: kernel (6, 3), input (6, 6) and output (4, 6).

    With g of three taps and d of six inputs, the four outputs are output ((kernel g) (input d)).
    Polynomials are evaluated at the points; Lagrange's polynomials lead back from there.
    """
    powers = [[point**power for power in range(OUTPUTS)] for point in POINTS]
    infinity = [0.0] * (OUTPUTS - 1) + [1.0]
    output = torch.tensor([*powers, infinity], dtype=torch.float64).T
    kernel = [
        [point**power / prod(point - other for other in _others(point)) for power in range(TAPS)]
        for point in POINTS
    ]
    lagrange = [[*_product(_others(point)), 0.0] for point in POINTS]
    return (
        torch.tensor([*kernel, [0.0, 0.0, 1.0]], dtype=torch.float64),
        torch.tensor([*lagrange, _product(POINTS)], dtype=torch.float64),
        output,
    )


@lru_cache(maxsize=1)
def _planes() -> tuple[Tensor, Tensor]:
    """Input (36, 36) and output (16, 36) of both axes at once, float32."""
    _, analyse, join = transforms()
    return torch.kron(analyse, analyse).float(), torch.kron(join, join).float()


def _others(point: float) -> tuple[float, ...]:
    return tuple(other for other in POINTS if other != point)


def _product(roots: tuple[float, ...]) -> list[float]:
    """Coefficients of the product of all (x - root), the constant first."""
    found = [1.0]
    for root in roots:
        found = [up - root * here for up, here in zip([0.0, *found], [*found, 0.0], strict=True)]
    return found

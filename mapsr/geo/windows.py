"""Windows: rectangles of pixels on a grid, so that nobody sums indices by hand."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Window:
    """The pixels [row, row + height) x [col, col + width) of a grid.

    Raises:
        ValueError: height or width is below one. Rows and columns may be negative: a window may
            reach over the edge of a grid until ``intersect`` cuts it.
    """

    row: int
    """First row."""
    col: int
    """First column."""
    height: int
    """Number of rows, at least 1."""
    width: int
    """Number of columns, at least 1."""

    def __post_init__(self) -> None:
        if self.height < 1 or self.width < 1:
            raise ValueError(
                f"A window is {self.height} x {self.width} px, expected at least 1 x 1."
            )

    @property
    def area(self) -> int:
        """Number of pixels."""
        return self.height * self.width

    @property
    def slices(self) -> tuple[slice, slice]:
        """Slices of rows and columns; the window must not start at a negative index.

        Raises:
            ValueError: row or col is negative, which NumPy would count from the far end.
        """
        if self.row < 0 or self.col < 0:
            raise ValueError(
                f"{self} starts outside of its grid; intersect it with the grid's window first."
            )
        return slice(self.row, self.row + self.height), slice(self.col, self.col + self.width)

    def intersect(self, other: "Window") -> "Window | None":
        """Return the pixels common to both windows, None where there are none."""
        row, col = max(self.row, other.row), max(self.col, other.col)
        height = min(self.row + self.height, other.row + other.height) - row
        width = min(self.col + self.width, other.col + other.width) - col
        return Window(row, col, height, width) if height > 0 and width > 0 else None

    def contains(self, other: "Window") -> bool:
        """Tell whether every pixel of ``other`` lies in this window."""
        return self.intersect(other) == other

    def shifted(self, rows: int, cols: int) -> "Window":
        """Return this window moved down by ``rows`` and right by ``cols`` pixels."""
        return Window(self.row + rows, self.col + cols, self.height, self.width)

    def relative_to(self, other: "Window") -> "Window":
        """Return this window counted from the first pixel of ``other``."""
        return self.shifted(-other.row, -other.col)

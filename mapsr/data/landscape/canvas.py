"""Drawing tools for a landscape: a canvas at 1 m, noise, curves and rectangles."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage

Mask = NDArray[np.bool_]
Plane = NDArray[np.float32]


@dataclass(frozen=True)
class Canvas:
    """The grid at 1 m that a landscape is drawn on: an image and a margin around it."""

    height: int
    """Rows of the image."""
    width: int
    """Columns of the image."""
    margin: int
    """Metres around the image, into which cells of a coarse product extend."""

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns, margin included."""
        return self.height + 2 * self.margin, self.width + 2 * self.margin

    @property
    def image(self) -> tuple[slice, slice]:
        """Rows and columns of the image on the canvas."""
        return (
            slice(self.margin, self.margin + self.height),
            slice(self.margin, self.margin + self.width),
        )

    @property
    def extent(self) -> int:
        """Metres of the shorter side of the image; landscape features scale with it."""
        return min(self.height, self.width)

    def axes(self, angle: float, centre: tuple[float, float] = (0.0, 0.0)) -> tuple[Plane, Plane]:
        """Return the position of each pixel along and across a direction.

        Args:
            angle: of the direction, in radians from the columns' axis towards the rows' axis.
            centre: (y, x) of the origin in metres from the middle of the canvas.

        Returns:
            Two float32 arrays (H, W), in metres.
        """
        rows, columns = self.shape
        y = (np.arange(rows, dtype=np.float32) - (rows - 1) / 2 - centre[0])[:, None]
        x = (np.arange(columns, dtype=np.float32) - (columns - 1) / 2 - centre[1])[None, :]
        cosine, sine = np.float32(np.cos(angle)), np.float32(np.sin(angle))
        return x * cosine + y * sine, y * cosine - x * sine

    def inside(self, outline: Mask) -> Mask:
        """Return ``outline`` (H, W) without what lies in the margin."""
        within = np.zeros(self.shape, dtype=bool)
        within[self.image] = outline[self.image]
        return within


def smooth_noise(
    shape: tuple[int, int], wavelength: float, generator: np.random.Generator
) -> Plane:
    """Draw band-limited noise.

    Args:
        shape: rows and columns.
        wavelength: typical distance from crest to crest in metres.
        generator: the only source of randomness.

    Returns:
        float32 (H, W) of mean 0 and standard deviation 1.
    """
    spectrum = fft.rfft2(generator.standard_normal(shape, dtype=np.float32))
    frequency = np.hypot(fft.fftfreq(shape[0])[:, None], fft.rfftfreq(shape[1])[None, :])
    # a relative bandwidth of one half: narrow enough for one scale, wide enough to be irregular
    band = np.exp(-(((frequency * wavelength - 1) / 0.5) ** 2)).astype(np.float32)
    band[0, 0] = 0
    noise = np.asarray(fft.irfft2(spectrum * band, s=shape), dtype=np.float32)
    return np.asarray(noise / noise.std(), dtype=np.float32)


def rough_noise(shape: tuple[int, int], wavelength: float, generator: np.random.Generator) -> Plane:
    """Draw noise with detail down to a quarter of the wavelength; as ``smooth_noise`` otherwise."""
    octaves = [
        weight * smooth_noise(shape, wavelength / 2**octave, generator)
        for octave, weight in enumerate((1, 0.55, 0.33))
    ]
    noise = octaves[0] + octaves[1] + octaves[2]
    return np.asarray(noise / noise.std(), dtype=np.float32)


def grain(shape: tuple[int, int], generator: np.random.Generator) -> Plane:
    """Draw fine texture, correlated over about two pixels; as ``smooth_noise`` otherwise."""
    white = generator.standard_normal(shape, dtype=np.float32)
    noise = ndimage.gaussian_filter(white, 0.8)
    return np.asarray(noise / noise.std(), dtype=np.float32)


@dataclass(frozen=True)
class Curve:
    """A winding line across the canvas: across = offset + two waves of along."""

    angle: float
    """Its general direction in radians."""
    offset: float
    """Metres from the middle of the canvas."""
    waves: tuple[tuple[float, float, float], ...]
    """Amplitude (metres), wavelength (metres) and phase (radians) of each wave."""

    def at(self, along: Plane | float) -> tuple[Plane, Plane]:
        """Return the curve's position across its direction, and its slope, at ``along``."""
        position = np.asarray(self.offset + 0 * np.asarray(along), dtype=np.float32)
        slope = np.zeros_like(position)
        for amplitude, wavelength, phase in self.waves:
            turn = 2 * np.pi * np.asarray(along) / wavelength + phase
            position = position + np.float32(amplitude) * np.sin(turn).astype(np.float32)
            steepness = np.float32(amplitude * 2 * np.pi / wavelength)
            slope = slope + steepness * np.cos(turn).astype(np.float32)
        return position, slope

    def distance(self, canvas: Canvas) -> Plane:
        """Return the distance of each pixel, float32 (H, W) in metres, signed by side.

        It is exact for a straight curve and approximate near a winding one.
        """
        along, across = canvas.axes(self.angle)
        position, slope = self.at(along)
        return np.asarray((across - position) / np.sqrt(1 + slope**2), dtype=np.float32)


@dataclass(frozen=True)
class Rectangle:
    """A rectangle of any orientation on a canvas."""

    centre: tuple[float, float]
    """(y, x) in metres from the middle of the canvas."""
    length: float
    """Metres along its direction."""
    breadth: float
    """Metres across its direction."""
    angle: float
    """Direction in radians."""

    def window(self, canvas: Canvas) -> tuple[slice, slice]:
        """Return its bounding rows and columns; empty where it lies off the canvas."""
        reach = np.hypot(self.length, self.breadth) / 2 + 1
        spans = []
        for middle, size in zip(self.centre, canvas.shape, strict=True):
            pixel = middle + (size - 1) / 2
            start = min(max(int(pixel - reach), 0), size)
            spans.append(slice(start, max(start, min(int(pixel + reach) + 1, size))))
        return spans[0], spans[1]

    def local(self, canvas: Canvas) -> tuple[Plane, Plane]:
        """Return metres along and across from its centre, for the pixels of its window."""
        rows, columns = self.window(canvas)
        y = np.arange(rows.start, rows.stop) - (canvas.shape[0] - 1) / 2 - self.centre[0]
        x = np.arange(columns.start, columns.stop) - (canvas.shape[1] - 1) / 2 - self.centre[1]
        cosine, sine = np.cos(self.angle), np.sin(self.angle)
        along = x[None, :] * cosine + y[:, None] * sine
        across = y[:, None] * cosine - x[None, :] * sine
        return along.astype(np.float32), across.astype(np.float32)

    def inside(self, canvas: Canvas) -> Mask:
        """Return which pixels of its window it covers."""
        along, across = self.local(canvas)
        return np.asarray((np.abs(along) <= self.length / 2) & (np.abs(across) <= self.breadth / 2))

    def beside(self, along: float, across: float) -> tuple[float, float]:
        """Return the (y, x) at a distance in metres along and across from its centre."""
        cosine, sine = np.cos(self.angle), np.sin(self.angle)
        return (
            float(self.centre[0] + along * sine + across * cosine),
            float(self.centre[1] + along * cosine - across * sine),
        )

"""Land-cover map super-resolution: from a coarse product and a sharp image to a sharp map."""

__version__ = "0.1.0"

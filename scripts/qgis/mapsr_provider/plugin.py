"""The plugin: it brings the provider, and takes it away again."""

from __future__ import annotations

from qgis.core import QgsApplication

from .provider import MapsrProvider


class MapsrPlugin:
    """Adds mapsr to the Processing toolbox."""

    def __init__(self) -> None:
        self.provider: MapsrProvider | None = None

    def initProcessing(self) -> None:
        """Add the provider; QGIS without a window calls this alone."""
        self.provider = MapsrProvider()
        QgsApplication.processingRegistry().addProvider(self.provider)

    def initGui(self) -> None:
        """Add the provider."""
        self.initProcessing()

    def unload(self) -> None:
        """Take the provider away."""
        if self.provider is not None:
            QgsApplication.processingRegistry().removeProvider(self.provider)
            self.provider = None

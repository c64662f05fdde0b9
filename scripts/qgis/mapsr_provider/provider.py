"""The provider: its algorithms, and the setting that names the command of mapsr."""

from __future__ import annotations

from processing.core.ProcessingConfig import ProcessingConfig, Setting
from qgis.core import QgsProcessingProvider

from .algorithms import AreasAlgorithm, MapAlgorithm, PageAlgorithm
from .base import COMMAND


class MapsrProvider(QgsProcessingProvider):
    """mapsr's algorithms."""

    def id(self) -> str:
        """Its name in commands and scripts."""
        return "mapsr"

    def name(self) -> str:
        """Its name for people."""
        return "mapsr"

    def longName(self) -> str:
        """Its name with what it does."""
        return "mapsr (land-cover maps)"

    def load(self) -> bool:
        """Add the setting and the algorithms."""
        ProcessingConfig.settingIcons[self.name()] = self.icon()
        ProcessingConfig.addSetting(
            Setting(self.name(), COMMAND, "Command of mapsr (a path, or words)", "mapsr")
        )
        ProcessingConfig.readSettings()
        self.refreshAlgorithms()
        return True

    def unload(self) -> None:
        """Take the setting away."""
        ProcessingConfig.removeSetting(COMMAND)

    def loadAlgorithms(self) -> None:
        """Offer the algorithms."""
        for algorithm in (MapAlgorithm, AreasAlgorithm, PageAlgorithm):
            self.addAlgorithm(algorithm())

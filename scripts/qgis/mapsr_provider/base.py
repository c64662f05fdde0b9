"""What the algorithms have in common: they run a command of mapsr in another environment."""

from __future__ import annotations

from typing import Any

from processing.core.ProcessingConfig import ProcessingConfig
from qgis.core import (
    QgsProcessingAlgorithm,
    QgsProcessingContext,
    QgsProcessingException,
    QgsProcessingFeedback,
)

from .commands import asked_words, program_words
from .running import CommandError, run_command

COMMAND = "MAPSR_COMMAND"
"""Name of the setting that holds the command of mapsr."""


class CommandAlgorithm(QgsProcessingAlgorithm):
    """An algorithm that runs one command of mapsr."""

    command = ""
    title = ""
    help = ""

    def createInstance(self) -> CommandAlgorithm:
        """Make another one."""
        return type(self)()

    def name(self) -> str:
        """Its name in scripts: that of the command."""
        return self.command

    def displayName(self) -> str:
        """Its name for people."""
        return self.title

    def shortHelpString(self) -> str:
        """What stands beside the dialog."""
        return self.help

    def run_words(self, words: list[str], feedback: QgsProcessingFeedback) -> None:
        """Run a command.

        Raises:
            QgsProcessingException: it can't be started, failed or was cancelled.
        """
        command = str(ProcessingConfig.getSetting(COMMAND) or "mapsr")
        try:
            every = [*program_words(command), *words]
            feedback.pushCommandInfo(" ".join(every))
            if not run_command(every, feedback):
                raise QgsProcessingException(
                    "Cancelled; with the same values it goes on from what is done."
                )
        except (CommandError, ValueError) as error:
            raise QgsProcessingException(str(error)) from error

    def ask(
        self,
        parameters: dict[str, Any],
        context: QgsProcessingContext,
        feedback: QgsProcessingFeedback,
        values: dict[str, str | bool | None],
    ) -> None:
        """Run a command that asks the map of parameter MAP."""
        map_ = self.file_of(parameters, "MAP", context) or ""
        self.run_words(asked_words(self.command, map_, values), feedback)

    def file_of(
        self, parameters: dict[str, Any], name: str, context: QgsProcessingContext
    ) -> str | None:
        """The file behind a raster parameter; None where none is chosen.

        Raises:
            QgsProcessingException: the layer is not a file.
        """
        layer = self.parameterAsRasterLayer(parameters, name, context)
        if layer is None:
            return None
        if layer.providerType() != "gdal":
            raise QgsProcessingException(
                f"{layer.name()} is a layer of a service ({layer.providerType()}), expected a file."
            )
        return str(layer.source())

    def polygons_of(
        self,
        parameters: dict[str, Any],
        name: str,
        context: QgsProcessingContext,
        feedback: QgsProcessingFeedback,
    ) -> str | None:
        """File and layer of a vector parameter; layers that are not files are written first."""
        if not parameters.get(name):
            return None
        path, layer = self.parameterAsCompatibleSourceLayerPathAndLayerName(
            parameters, name, context, ["gpkg", "shp", "geojson"], "gpkg", feedback
        )
        return f"{path}|layername={layer}" if layer else str(path)

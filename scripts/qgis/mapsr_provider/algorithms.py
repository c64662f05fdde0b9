"""The algorithms: map an image, measure a map, write its page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from qgis.core import (
    QgsProcessing,
    QgsProcessingContext,
    QgsProcessingException,
    QgsProcessingFeedback,
    QgsProcessingOutputFile,
    QgsProcessingParameterBoolean,
    QgsProcessingParameterDefinition,
    QgsProcessingParameterEnum,
    QgsProcessingParameterFeatureSource,
    QgsProcessingParameterFile,
    QgsProcessingParameterFileDestination,
    QgsProcessingParameterRasterDestination,
    QgsProcessingParameterRasterLayer,
    QgsProcessingParameterString,
)

from .base import CommandAlgorithm
from .commands import LEGENDS, map_words

_ADVANCED = QgsProcessingParameterDefinition.FlagAdvanced
_POLYGONS = [QgsProcessing.TypeVectorPolygon]


def _legend() -> QgsProcessingParameterEnum:
    return QgsProcessingParameterEnum(
        "LEGEND", "Legend of the product", list(LEGENDS), defaultValue=0
    )


class MapAlgorithm(CommandAlgorithm):
    """`mapsr map`."""

    command = "map"
    title = "Map an image"
    help = (
        "Makes a land-cover map as sharp as the image from a coarse product, with a method that is "
        "fitted on it first, or that was fitted before. A job that is cancelled goes on where it "
        "was when it is started again with the same values and output file."
    )

    def initAlgorithm(self, configuration: dict[str, Any] | None = None) -> None:
        """Say what the dialog holds."""
        add = self.addParameter
        add(QgsProcessingParameterRasterLayer("IMAGE", "Sharp image"))
        add(QgsProcessingParameterRasterLayer("COARSE", "Coarse product", optional=True))
        add(_legend())
        add(
            QgsProcessingParameterFile(
                "FITTED",
                "Fitted method (in place of a fit on the product)",
                optional=True,
                fileFilter="Fitted methods (*.safetensors)",
            )
        )
        add(QgsProcessingParameterFeatureSource("AOI", "Map within", _POLYGONS, optional=True))
        add(QgsProcessingParameterBoolean("CONFIDENCE", "Confidence, too", defaultValue=True))
        add(QgsProcessingParameterBoolean("VECTORS", "Polygons, too", defaultValue=False))
        add(
            QgsProcessingParameterString(
                "MMU", "Minimum mapping unit, such as 0.25ha or 40px", optional=True
            )
        )
        more = QgsProcessingParameterString(
            "MORE", "Further settings, such as method=mapsr windows.chip=224", optional=True
        )
        replace = QgsProcessingParameterBoolean(
            "OVERWRITE", "Replace a map that is there", defaultValue=False
        )
        for one in (more, replace):
            one.setFlags(one.flags() | _ADVANCED)
            add(one)
        add(QgsProcessingParameterRasterDestination("OUTPUT", "Map"))
        self.addOutput(QgsProcessingOutputFile("RECORD", "Record"))

    def processAlgorithm(
        self,
        parameters: dict[str, Any],
        context: QgsProcessingContext,
        feedback: QgsProcessingFeedback,
    ) -> dict[str, Any]:
        """Map the image."""
        out = Path(self.parameterAsOutputLayer(parameters, "OUTPUT", context))
        values = {
            "image": self.file_of(parameters, "IMAGE", context),
            "coarse": self.file_of(parameters, "COARSE", context),
            "legend.coarse": LEGENDS[self.parameterAsEnum(parameters, "LEGEND", context)],
            "fitted": self.parameterAsFile(parameters, "FITTED", context),
            "aoi": self.polygons_of(parameters, "AOI", context, feedback),
            "confidence": self.parameterAsBool(parameters, "CONFIDENCE", context),
            "vectors": self.parameterAsBool(parameters, "VECTORS", context),
            "mmu": self.parameterAsString(parameters, "MMU", context),
            "overwrite": self.parameterAsBool(parameters, "OVERWRITE", context),
            "out": str(out),
        }
        try:
            words = map_words(values, self.parameterAsString(parameters, "MORE", context))
        except ValueError as error:
            raise QgsProcessingException(f"{error}.") from error
        self.run_words(words, feedback)
        return {"OUTPUT": str(out), "RECORD": str(out.with_name(f"{out.stem}_record.json"))}


class AreasAlgorithm(CommandAlgorithm):
    """`mapsr areas`."""

    command = "areas"
    title = "Areas of a map"
    help = (
        "Measures the classes of a map on the ellipsoid, in all and in each polygon of a layer, "
        "beside those of a coarse product where one is given."
    )

    def initAlgorithm(self, configuration: dict[str, Any] | None = None) -> None:
        """Say what the dialog holds."""
        add = self.addParameter
        add(QgsProcessingParameterRasterLayer("MAP", "Map"))
        add(QgsProcessingParameterFeatureSource("ZONES", "Zones", _POLYGONS, optional=True))
        add(QgsProcessingParameterRasterLayer("PRODUCT", "Coarse product", optional=True))
        add(_legend())
        add(QgsProcessingParameterFileDestination("OUTPUT", "Table", "CSV files (*.csv)"))

    def processAlgorithm(
        self,
        parameters: dict[str, Any],
        context: QgsProcessingContext,
        feedback: QgsProcessingFeedback,
    ) -> dict[str, Any]:
        """Measure the map."""
        out = self.parameterAsFileOutput(parameters, "OUTPUT", context)
        values = {
            "zones": self.polygons_of(parameters, "ZONES", context, feedback),
            "product": self.file_of(parameters, "PRODUCT", context),
            "product_legend": LEGENDS[self.parameterAsEnum(parameters, "LEGEND", context)],
            "csv": out,
        }
        self.ask(parameters, context, feedback, values)
        return {"OUTPUT": out}


class PageAlgorithm(CommandAlgorithm):
    """`mapsr page`."""

    command = "page"
    title = "Page of a map"
    help = (
        "Writes one HTML file that shows a map: image, product, map and confidence with a swipe "
        "between them, zoom to real pixels, areas and provenance. Image and product are those of "
        "the map's own record where none are chosen."
    )

    def initAlgorithm(self, configuration: dict[str, Any] | None = None) -> None:
        """Say what the dialog holds."""
        add = self.addParameter
        add(QgsProcessingParameterRasterLayer("MAP", "Map"))
        add(QgsProcessingParameterRasterLayer("IMAGE", "Image", optional=True))
        add(QgsProcessingParameterRasterLayer("PRODUCT", "Coarse product", optional=True))
        add(_legend())
        add(QgsProcessingParameterFileDestination("OUTPUT", "Page", "HTML files (*.html)"))

    def processAlgorithm(
        self,
        parameters: dict[str, Any],
        context: QgsProcessingContext,
        feedback: QgsProcessingFeedback,
    ) -> dict[str, Any]:
        """Write the page."""
        out = self.parameterAsFileOutput(parameters, "OUTPUT", context)
        values = {
            "image": self.file_of(parameters, "IMAGE", context),
            "product": self.file_of(parameters, "PRODUCT", context),
            "product_legend": LEGENDS[self.parameterAsEnum(parameters, "LEGEND", context)],
            "out": out,
        }
        self.ask(parameters, context, feedback, values)
        return {"OUTPUT": out}

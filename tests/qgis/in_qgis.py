"""Uses the provider inside QGIS, without a window, and prints what came of it as JSON."""

import json
import os
import sys
from pathlib import Path

plugin, command, image, coarse, out, quick = sys.argv[1:]
sys.path += [plugin, *(p for p in ["/usr/share/qgis/python/plugins"] if Path(p).exists())]

from qgis.core import (  # noqa: E402
    QgsApplication,
    QgsProcessingContext,
    QgsProcessingException,
    QgsProcessingFeedback,
    QgsRasterLayer,
)

application = QgsApplication([], False)
application.initQgis()

from mapsr_provider import classFactory  # noqa: E402
from processing.core.ProcessingConfig import ProcessingConfig  # noqa: E402

added = classFactory(None)
added.initProcessing()
registry = QgsApplication.processingRegistry()
algorithms = {one.id(): one for one in registry.providerById("mapsr").algorithms()}


class Feedback(QgsProcessingFeedback):
    """Keeps the progress."""

    latest = 0.0

    def setProgress(self, percent):
        self.latest = max(self.latest, percent)


def run(name, parameters):
    feedback = Feedback()
    results, good = algorithms[name].create().run(parameters, QgsProcessingContext(), feedback)
    return results, good, feedback


def error_of(name, parameters):
    """What an algorithm says when it fails."""
    algorithm = algorithms[name].create()
    context, feedback = QgsProcessingContext(), Feedback()
    try:
        algorithm.prepare(parameters, context, feedback)
        algorithm.processAlgorithm(parameters, context, feedback)
    except QgsProcessingException as error:
        return str(error)
    return ""


values = {
    **{"IMAGE": image, "COARSE": coarse, "LEGEND": 0, "CONFIDENCE": True, "MORE": quick},
    "OUTPUT": f"{out}/map.tif",
}
told = {"algorithms": sorted(algorithms)}
ProcessingConfig.setSettingValue("MAPSR_COMMAND", "/no/mapsr")
told["missing"] = error_of("mapsr:map", values)
ProcessingConfig.setSettingValue("MAPSR_COMMAND", command)
told["refused"] = error_of("mapsr:map", {**values, "COARSE": None})
results, good, feedback = run("mapsr:map", values)
assert good, feedback.textLog()
layer = QgsRasterLayer(results["OUTPUT"], "map")
renderer = layer.renderer()
told["map"] = {
    "bands": layer.bandCount(),
    "renderer": renderer.type(),
    "classes": len(renderer.classes()),
}
sure = QgsRasterLayer(f"{out}/map_confidence.tif", "sure")  # the renderer goes with its layer
told["confidence"] = sure.renderer().type()
told["progress"] = feedback.latest
assert Path(results["RECORD"]).exists()
results, good, feedback = run(
    "mapsr:areas", {"MAP": f"{out}/map.tif", "PRODUCT": coarse, "OUTPUT": f"{out}/areas.csv"}
)
assert good, feedback.textLog()
told["areas"] = len(Path(results["OUTPUT"]).read_text().splitlines())
results, good, feedback = run("mapsr:page", {"MAP": f"{out}/map.tif", "OUTPUT": f"{out}/map.html"})
assert good, feedback.textLog()
told["page"] = Path(results["OUTPUT"]).stat().st_size
added.unload()
assert registry.providerById("mapsr") is None
print(json.dumps(told), flush=True)
os._exit(0)  # what QGIS and Python take apart in turn crashes now and then

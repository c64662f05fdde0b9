"""mapsr in the Processing toolbox of QGIS."""


def classFactory(iface):  # noqa: ANN001, ANN201 - QGIS's name, and its types
    """Make the plugin, as QGIS asks for it."""
    from .plugin import MapsrPlugin

    return MapsrPlugin()

"""From a run or a map to the page that shows it."""

from mapsr.pages.settings import PageSettings
from mapsr.pages.writing import write_page

__all__ = ["PageSettings", "write_page"]

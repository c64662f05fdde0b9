"""Write the page of a run or a map."""

from pathlib import Path

from mapsr.errors import ConfigError
from mapsr.files import write_text
from mapsr.pages.of_map import map_page
from mapsr.pages.of_run import run_page
from mapsr.pages.settings import PageSettings
from mapsr.progress import Progress
from mapsr.report.page import page_html

_NAME = "page.html"


def write_page(settings: PageSettings, progress: Progress) -> Path:
    """Write a page, whole or not at all, and return its path.

    Raises:
        ConfigError: the source is neither a finished run nor a map, or the page can't be written.
        MapsrError: what belongs on it can't be read.
    """
    source = Path(settings.source)
    out = Path(settings.out) if settings.out else _beside(source)
    if out.suffix.lower() not in (".html", ".htm"):
        raise ConfigError(f"out={out} is a page, expected a name that ends in .html.")
    page = run_page if source.is_dir() else map_page
    text = page_html(page(settings, progress))
    try:
        write_text(out, text)
    except OSError as error:
        raise ConfigError(f"Can't write {out}: {error.strerror}; choose another out=.") from error
    return out


def _beside(source: Path) -> Path:
    return source / _NAME if source.is_dir() else source.with_suffix(".html")

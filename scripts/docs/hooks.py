"""MkDocs hooks of the documentation site: generated pages and equations."""

import re
import sys
from pathlib import Path
from xml.etree.ElementTree import Element

from markdown import Markdown
from markdown.extensions import Extension
from markdown.inlinepatterns import InlineProcessor
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(ROOT), str(HERE)]

from equations import as_mathml  # noqa: E402 - found by the line above
from pages import commands_page, groups_page, keys_page, notebook_page, room_pages  # noqa: E402

NOTEBOOK = "notebooks/county.ipynb"


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Let equations become MathML, which browsers draw themselves, and complete the menu."""
    fence = {"name": "math", "class": "math", "format": _math_fence}
    config.mdx_configs.setdefault("pymdownx.superfences", {})["custom_fences"] = [fence]
    config.markdown_extensions.append(InlineMath())
    if others := _not_in_menu(config):
        config.nav = [*(config.nav or []), {"More": others}]
    return config


def _not_in_menu(config: MkDocsConfig) -> list[str]:
    """Pages of docs/ that the menu does not name: a page is never left out of the site."""
    named = set(re.findall(r"[\w/-]+\.md", str(config.nav)))
    folder = Path(config.docs_dir)
    pages = (path.relative_to(folder).as_posix() for path in sorted(folder.rglob("*.md")))
    return [page for page in pages if page not in named]


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add the pages that are generated, and what lies outside of docs/."""
    from mapsr.cli.help import command_settings
    from mapsr.cli.main import parser

    commands = command_settings()
    generated = {
        "reference/commands.md": commands_page(parser()),
        "reference/keys.md": keys_page(commands),
        "reference/groups.md": groups_page(commands),
        "notebooks/county.md": notebook_page(Path(config.docs_dir) / NOTEBOOK),
        "changelog.md": (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"),
        "experiments.md": (ROOT / "experiments" / "README.md").read_text(encoding="utf-8"),
    }
    generated |= {f"reference/{path}": page for path, page in room_pages().items()}
    for path, content in generated.items():
        files.append(File.generated(config, path, content=content))
    for path, source in {
        "images/overview.png": ROOT / "experiments" / "overview.png",
        "assets/site.css": HERE / "site.css",
    }.items():
        files.append(File.generated(config, path, content=source.read_bytes()))
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Take links to files of the repository that are no pages for what they say."""
    folder = Path(config.docs_dir).resolve()

    def shown(link: "re.Match[str]") -> str:
        target = (folder / page.file.src_uri).parent.joinpath(link[2]).resolve()
        return link[1] if target.exists() and not target.is_relative_to(folder) else link[0]

    return re.sub(r"\[([^\]]*)\]\(((?:\.\./)+[^)#]*)\)", shown, markdown)


class InlineMath(Extension):
    """Equations in a line of text: $`...`$, as GitHub shows them too."""

    def extendMarkdown(self, md: Markdown) -> None:
        """Register the pattern before that of code."""
        md.inlinePatterns.register(_InlineMath(r"\$`([^`]+)`\$", md), "inline-math", 200)


class _InlineMath(InlineProcessor):
    def handleMatch(self, m: "re.Match[str]", data: str) -> tuple[Element | str, int, int]:
        return self.md.htmlStash.store(as_mathml(m[1])), m.start(0), m.end(0)


def _math_fence(source: str, *_: object, **__: object) -> str:
    return f'<div class="math">{as_mathml(source, block=True)}</div>'

"""The documents of the project, and the commands that they give."""

import json
import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = [
    "README.md",
    "experiments/README.md",
    *sorted(path.relative_to(ROOT).as_posix() for path in ROOT.glob("docs/**/*.md")),
]
NOTEBOOKS = sorted(path.relative_to(ROOT).as_posix() for path in ROOT.glob("docs/**/*.ipynb"))

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINE = re.compile(r"^(?: {4})?((?:make|mapsr) .*)$", re.MULTILINE)
_BLOCK = re.compile(r"^ {4}((?:make|mapsr) .*)$", re.MULTILINE)
_INLINE = re.compile(r"(?<!`)`(mapsr [^`]+)`(?!`)")


@dataclass(frozen=True)
class Command:
    """A command of a document.

    Attributes:
        page: where it stands, below the root.
        words: of it, "mapsr" or "make" first; "..." stands for more.
        whole: whether it is a line of its own, rather than mentioned in a sentence.
    """

    page: str
    words: tuple[str, ...]
    whole: bool


def text_of(page: str) -> str:
    """The text of a page; of a notebook its texts alone."""
    text = (ROOT / page).read_text(encoding="utf-8")
    if not page.endswith(".ipynb"):
        return text
    cells = json.loads(text)["cells"]
    return "\n\n".join("".join(one["source"]) for one in cells if one["cell_type"] == "markdown")


def commands(page: str) -> list[Command]:
    """Every command of a page, in order: lines of blocks first, then what sentences mention."""
    text = text_of(page).replace("\\\n", " ")
    found = [
        Command(page, tuple(shlex.split(line, comments=True)), whole=True)
        for language, fence in _FENCE.findall(text)
        if language in ("", "bash", "text", "console")
        for line in _LINE.findall(fence)
    ]
    bare = _FENCE.sub("", text)
    found += [
        Command(page, tuple(shlex.split(line, comments=True)), whole=True)
        for line in _BLOCK.findall(bare)
    ]
    inline = (" ".join(one.split()) for one in _INLINE.findall(bare))
    return found + [Command(page, tuple(shlex.split(one)), whole=False) for one in inline]


def lines(*pages: str, start: tuple[str, ...] = ("mapsr",)) -> list[list[str]]:
    """Words after "mapsr" of the lines of pages that begin so, each once, in order."""
    every = (one for page in pages for one in commands(page) if one.whole)
    fitting = (one.words for one in every if one.words[: len(start)] == start)
    return [list(words[1:]) for words in dict.fromkeys(fitting) if "..." not in words]

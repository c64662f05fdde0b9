"""Change the code a little, at random places, and tell which changes no test notices.

    make mutants                                # the core, 10 minutes
    make mutants MINUTES=60 SEED=3 ROOMS="refine upsample"
    PYTHONPATH=.venv/mutants .venv/bin/python scripts/mutants.py --again OUTPUT

Each mutant is judged by the tests called after its module, then by those that import it, then by
the others of its room, in a process that is forked once everything foreign is imported: a mutant
takes seconds, not minutes.
Mutations are cosmic-ray's (`make mutants` installs it apart from the environment), but for those of
annotations and decorators. A mutant that can't be told from the code by any test is listed in
mutants_equivalent.txt beside this file, as it is printed, with the reason behind a #.
"""

import argparse
import ast
import difflib
import importlib
import importlib.util
import os
import random
import re
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.abc import Loader, MetaPathFinder
from pathlib import Path
from types import ModuleType

import cosmic_ray.ast
import cosmic_ray.mutating
import cosmic_ray.plugins

ROOT = Path(__file__).resolve().parent.parent
EQUIVALENT = Path(__file__).with_name("mutants_equivalent.txt")
CORE = (
    *("legends", "evaluation", "features", "upsample", "prompts", "refine", "networks"),
    *("training", "methods", "mapping"),
)
# run by other processes, which a mutant does not reach; their slow tests are not run here
ELSEWHERE = {"actors.py", "cluster.py"}
# what is imported once, before processes are forked
FOREIGN = (
    *("torch", "numpy", "scipy.sparse.linalg", "skimage.segmentation", "sklearn.cluster", "timm"),
    *("rasterio", "rasterio.warp", "pyogrio", "shapely", "hypothesis", "pytest", "lightning"),
    *("omegaconf", "hydra", "safetensors.torch", "matplotlib.figure", "PIL.Image", "torchmetrics"),
)
OPERATORS = re.compile(
    r"core/(ReplaceBinaryOperator_(Add_Sub|Sub_Add|Mul_Div|Div_Mul|FloorDiv_Div|Mod_Mul|Pow_Mul|"
    r"BitAnd_BitOr|BitOr_BitAnd)|ReplaceComparisonOperator_(Eq_NotEq|NotEq_Eq|Lt_LtE|Lt_GtE|LtE_Lt|"
    r"LtE_Gt|Gt_GtE|Gt_LtE|GtE_Gt|GtE_Lt|Is_IsNot|IsNot_Is|In_NotIn|NotIn_In)|"
    r"ReplaceUnaryOperator_(USub_UAdd|Delete_Not|Delete_Invert)|AddNot|ReplaceTrueWithFalse|"
    r"ReplaceFalseWithTrue|ReplaceAndWithOr|ReplaceOrWithAnd|ReplaceBreakWithContinue|"
    r"ReplaceContinueWithBreak|NumberReplacer|ZeroIterationForLoop)"
)
# a mutant that takes so many times the tests' own time, and some seconds, does not end
PATIENCE, GRACE_S = 4.0, 20.0


@dataclass(frozen=True)
class Mutant:
    """One change of one file.

    Attributes:
        path: of the file, below the root.
        line: where it is.
        change: as it is printed: path, what was there, what is there now.
        code: the whole file with the change.
    """

    path: Path
    line: int
    change: str
    code: str

    @property
    def module(self) -> str:
        """Dotted name of the module."""
        return ".".join(self.path.with_suffix("").parts)


class Mutated(MetaPathFinder, Loader):
    """Gives a mutant in place of its module."""

    def __init__(self, mutant: Mutant) -> None:
        self.mutant = mutant

    def find_spec(self, name: str, path: object, target: object = None) -> object:
        """Find the mutated module alone."""
        if name != self.mutant.module:
            return None
        return importlib.util.spec_from_loader(name, self, origin=str(ROOT / self.mutant.path))

    def exec_module(self, module: ModuleType) -> None:
        """Run the mutated code."""
        file = str(ROOT / self.mutant.path)
        module.__file__ = file
        exec(compile(self.mutant.code, file, "exec"), module.__dict__)


def aside(source: str) -> set[tuple[int, int]]:
    """Places (line, column) of annotations and decorators, which are not changed."""
    places = set()
    for node in ast.walk(ast.parse(source)):
        annotations = [getattr(node, name, None) for name in ("annotation", "returns")]
        for one in (*annotations, *getattr(node, "decorator_list", ())):
            if one is not None:
                inside = (part for part in ast.walk(one) if hasattr(part, "lineno"))
                for part in inside:
                    ends = range(part.col_offset, part.end_col_offset + 1)
                    places |= {(part.lineno, column) for column in ends}
    return places


def mutants_of(path: Path) -> Iterator[tuple[object, int, int]]:
    """Operator, its occurrence and its line, for each change of a file."""
    source = (ROOT / path).read_text()
    left = aside(source)
    nodes = list(cosmic_ray.ast.ast_nodes(cosmic_ray.ast.get_ast(source)))
    for name in cosmic_ray.plugins.operator_names():
        if not OPERATORS.fullmatch(name):
            continue
        operator = cosmic_ray.plugins.get_operator(name)()
        places = [place for node in nodes for place in operator.mutation_positions(node)]
        for occurrence, (begin, _) in enumerate(places):
            if begin not in left:
                yield operator, occurrence, begin[0]


def made(path: Path, operator: object, occurrence: int, line: int) -> Mutant | None:
    """The mutant, None where the change changes nothing that is run."""
    source = (ROOT / path).read_text()
    code = cosmic_ray.mutating.mutate_code(source, operator, occurrence)
    if code is None or same(source, code):
        return None
    pairs = difflib.ndiff(source.splitlines(), code.splitlines())
    told = [" ".join(one[2:].split()) for one in pairs if one[:2] in ("- ", "+ ")]
    return Mutant(path, line, f"{path}: {' => '.join(told)}", code)


def same(one: str, other: str) -> bool:
    """Whether two texts are the same program."""
    try:
        return ast.dump(ast.parse(one)) == ast.dump(ast.parse(other))
    except SyntaxError:
        return True


def tests_of(path: Path) -> list[list[str]]:
    """Test files: that called after a module, those that import it, and the others of its room.

    A room offers what its modules define, so a file that takes such a name from the room counts as
    one that imports the module.
    """
    module, room = ".".join(path.with_suffix("").parts), path.parts[1]
    nodes = ast.parse((ROOT / path).read_text()).body
    kinds = (ast.ClassDef, ast.FunctionDef)
    names = [node.name for node in nodes if isinstance(node, kinds) and node.name[0] != "_"]
    # on one line, or in parentheses on several
    lists = rf"from mapsr\.{room} import (?:\([^)]*|[^(\n]*)\b(?:{'|'.join(names)})\b"
    offered = re.compile(lists) if names else None
    called = f"test_{path.stem}"
    own: list[str] = []
    imports: list[str] = []
    rest: list[str] = []
    for file in sorted((ROOT / "tests").rglob("test_*.py")):
        if file.stem == called and file.parent.name == room:
            own.append(str(file))
        elif module in (text := file.read_text()) or (offered and offered.search(text)):
            imports.append(str(file))
        elif file.parent.name == room:
            rest.append(str(file))
    return [own, imports, rest]


def judged(mutant: Mutant | None, files: list[str], limit_s: float) -> str:
    """Run tests in a fork: "killed", "survived" or "endless"."""
    begin, child = time.monotonic(), os.fork()
    if child == 0:
        os.setsid()
        silent = os.open(os.devnull, os.O_RDWR)
        for stream in range(3):
            os.dup2(silent, stream)
        if mutant is not None:
            sys.meta_path.insert(0, Mutated(mutant))
        os._exit(run(files))
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return "survived" if os.waitstatus_to_exitcode(status) == 0 else "killed"
        if time.monotonic() - begin > limit_s:
            os.killpg(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return "endless"
        time.sleep(0.02)


def run(files: list[str]) -> int:
    """Run the quick tests of some files until one fails."""
    import pytest

    with tempfile.TemporaryDirectory() as folder:
        os.environ["HYPOTHESIS_STORAGE_DIRECTORY"] = folder
        options = ["-x", "-q", "-p", "no:cacheprovider", "--hypothesis-seed=0", "-p", "no:xdist"]
        # plug-ins were imported before pytest could rewrite their asserts
        options += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]
        only = ["-o", "addopts=--strict-markers", "-m", "not soak and not slow"]
        return int(pytest.main([*options, *only, f"--basetemp={folder}/base", *files]))


class Judge:
    """Runs the tests of mutants, and remembers how long they take on the code as it is."""

    def __init__(self) -> None:
        self.seconds: dict[tuple[str, ...], float] = {}

    def __call__(self, mutant: Mutant) -> str:
        """Say "killed", "endless", "survived", or "untested": no test passes on the code itself."""
        found = "untested"
        for files in filter(None, tests_of(mutant.path)):
            verdict = self.part(mutant, files)
            if verdict in ("killed", "endless"):
                return verdict
            found = "survived" if verdict == "survived" else found
        return found

    def part(self, mutant: Mutant, files: list[str]) -> str:
        """Judge by some files, those of them alone that pass on the code as it is."""
        good = [file for file in files if self.time((file,)) is not None]
        if not good:
            return "untested"
        limit = PATIENCE * sum(self.time((file,)) or 0.0 for file in good) + GRACE_S
        return judged(mutant, good, limit)

    def time(self, files: tuple[str, ...]) -> float | None:
        """Seconds that files take on the code as it is; None where they fail or are all slow."""
        if files not in self.seconds:
            begin = time.monotonic()
            passed = judged(None, list(files), 600.0) == "survived"
            self.seconds[files] = time.monotonic() - begin if passed else float("inf")
        known = self.seconds[files]
        return None if known == float("inf") else known


def drawn(rooms: list[str], seed: int) -> Iterator[Mutant]:
    """Mutants of rooms in a random order, each line once."""
    places: dict[tuple[Path, int], list[tuple[object, int]]] = {}
    for room in rooms:
        for file in sorted((ROOT / "mapsr" / room).rglob("*.py")):
            path = file.relative_to(ROOT)
            if path.name in ELSEWHERE:
                continue
            for operator, occurrence, line in mutants_of(path):
                places.setdefault((path, line), []).append((operator, occurrence))
    chance = random.Random(seed)
    order = sorted(places)
    chance.shuffle(order)
    for path, line in order:
        operator, occurrence = chance.choice(places[path, line])
        if (mutant := made(path, operator, occurrence, line)) is not None:
            yield mutant


def again(output: Path) -> Iterator[Mutant]:
    """The mutants that survived in an earlier run, so far as they can still be made."""
    told = re.compile(r"(?:survived|untested): line \d+ of (([^:]+): .*)")
    for line in output.read_text().splitlines():
        if (found := told.fullmatch(line)) is None:
            continue
        change, path = found[1], Path(found[2])
        for operator, occurrence, place in mutants_of(path):
            mutant = made(path, operator, occurrence, place)
            if mutant is not None and mutant.change == change:
                yield mutant
                break
        else:
            print(f"can't be made any more: {change}", flush=True)


def main() -> None:
    """Judge mutants until the time is over, and print what survived."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--most", type=int, default=10**9, help="most mutants")
    parser.add_argument("--again", type=Path, help="judge what survived in this output once more")
    parser.add_argument("rooms", nargs="*", default=list(CORE))
    given = parser.parse_args()
    os.chdir(ROOT)
    sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
    for name in FOREIGN:
        importlib.import_module(name)
    known = {line.rpartition("  #")[0] for line in EQUIVALENT.read_text().splitlines()}
    end, counts, judge = time.monotonic() + 60 * given.minutes, Counter(), Judge()
    some = again(given.again) if given.again else drawn(given.rooms, given.seed)
    for number, mutant in enumerate(some):
        if time.monotonic() > end or number >= given.most:
            break
        verdict = "equivalent" if mutant.change in known else judge(mutant)
        counts[verdict] += 1
        if verdict in ("survived", "untested"):
            print(f"{verdict}: line {mutant.line} of {mutant.change}", flush=True)
    noticed = counts["killed"] + counts["endless"]
    total = noticed + counts["survived"] + counts["untested"]
    shown = ", ".join(f"{count} {verdict}" for verdict, count in sorted(counts.items()))
    print(f"{shown}; noticed {noticed} of {total}: {100 * noticed / max(1, total):.1f} %")


if __name__ == "__main__":
    main()

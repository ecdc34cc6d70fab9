"""No arrow runs up: a room of the library imports from its own floor and those below alone. And none needs an extra."""

import ast
import contextlib
import os
import re
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import jaxanim

# From the ground. The package's own modules (stored, chunks, ...) are tools that every room may use; weights find the
# networks' classes, so they stand above them.
ROOT = Path(jaxanim.__file__).parent
TOOLS = {path.stem for path in ROOT.glob("*.py")} - {"__init__", "errors", "weights"}
FLOORS = [
    {"errors"}, {"media"} | TOOLS, {"attention", "nn", "diffusion", "cues"}, {"models"}, {"weights"}, {"puppets", "data"},
    {"training", "metrics"}, {"systems"}, {"convert"}, {"sample", "train"},
]  # fmt: skip


def imported(path):
    """The rooms that a file imports anywhere, in functions too."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path} imports by a relative name"
            names = [f"{node.module}.{a.name}" for a in node.names] if node.module == "jaxanim" else [node.module]
        for name in names:
            first, *rest = name.split(".")
            if first == "jaxanim" and rest:
                yield rest[0]
            elif first in ("sample", "train", "configs", "tests"):
                yield first


def test_every_import_is_of_the_same_floor_or_a_lower_one():
    floor = {room: level for level, rooms in enumerate(FLOORS) for room in rooms}
    rooms = {path.name for path in ROOT.iterdir() if (path / "__init__.py").is_file()}
    assert rooms <= set(floor), f"no floor for {rooms - set(floor)}"
    up = [
        f"{path.relative_to(ROOT)} imports {room}"
        for path in ROOT.rglob("*.py")
        for own in [path.relative_to(ROOT).parts[0].removesuffix(".py")]
        for room in imported(path)
        if path.name != "__init__.py" and floor.get(room, len(FLOORS)) > floor[own]
    ]
    assert not up, up


def test_programs_name_no_system():
    names = {path.name for path in (ROOT / "systems").iterdir() if (path / "__init__.py").is_file()}
    for path in [*Path("sample").glob("*.py"), *Path("train").glob("*.py")]:
        text = path.read_text(encoding="utf-8").lower()
        assert not [name for name in names if name in text or name.replace("_", " ") in text], path


def imported_at_once(path):
    """The packages that importing a file imports: those outside functions."""
    waiting = list(ast.parse(path.read_text(encoding="utf-8")).body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module.split(".")[0]
        elif not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            waiting += ast.iter_child_nodes(node)


def test_importing_the_library_or_a_program_needs_no_extra():
    project = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))["project"]
    of_jax = [line for line in metadata.requires("jax") if "extra ==" not in line]
    needed = {re.match(r"[\w-]+", line)[0].lower() for line in [*project["dependencies"], *of_jax]}
    owners = metadata.packages_distributions()
    own = {"jaxanim", "sample", "train", "configs", *sys.stdlib_module_names}
    files = [*ROOT.rglob("*.py"), *Path("sample").glob("*.py"), *Path("train").glob("*.py")]
    extra = {
        f"{path} imports {package}"
        for path in files
        for package in set(imported_at_once(path)) - own
        if not needed & {owner.lower() for owner in owners.get(package, ())}
    }
    assert len(files) > 100
    assert not extra, extra


# Imports the modules named in its arguments after "--"; of the packages before it none can be imported.
WITHOUT = """
import importlib, sys
from importlib.abc import MetaPathFinder
gone, modules = (part.split() for part in " ".join(sys.argv[1:]).split("--"))

class Nothing(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in gone:
            raise ModuleNotFoundError(f"{name} is not installed", name=name)

sys.meta_path.insert(0, Nothing())
for name in modules:
    importlib.import_module(name)
"""


def with_all_it_needs(names):
    """Names of distributions with those that they require, and so on; extras apart."""
    found, waiting = set(), list(names)
    while waiting:
        name = waiting.pop().lower().replace("_", "-")
        if name in found:
            continue
        found.add(name)
        with contextlib.suppress(metadata.PackageNotFoundError):
            lines = metadata.requires(name) or []
            waiting += [re.match(r"[\w.-]+", line)[0] for line in lines if "extra ==" not in line]
    return found


def test_every_module_is_imported_with_the_extras_gone():
    project = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))["project"]
    core = with_all_it_needs(re.match(r"[\w-]+", line)[0] for line in project["dependencies"])
    groups = project["optional-dependencies"].values()
    extras = {re.match(r"[\w-]+", line)[0].lower() for lines in groups for line in lines} - core - {"jaxanim"}
    owners = metadata.packages_distributions().items()
    gone = sorted(package for package, names in owners if extras & {name.lower() for name in names})
    assert {"pytest", "chex", "beartype"} <= {*gone}
    files = [*ROOT.rglob("*.py"), *Path("sample").glob("*.py"), *Path("train").glob("*.py")]
    modules = [
        ".".join(path.relative_to(ROOT.parent if path.is_relative_to(ROOT) else Path()).with_suffix("").parts)
        for path in files
    ]
    run = subprocess.run(
        [sys.executable, "-c", WITHOUT, *gone, "--", *modules], capture_output=True, text=True,
        env=os.environ | {"JAX_PLATFORMS": "cpu"},
    )  # fmt: skip
    assert run.returncode == 0, run.stderr[-2000:]

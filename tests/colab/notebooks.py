"""Runs a notebook's code cells top to bottom, as Jupyter does but without it.

A notebook has one cell tagged "settings", which assigns the names that a test may give other values to. Lines that
begin with ! or % speak to Jupyter alone and do nothing here; what is displayed is kept.
"""

import json
import os
import re
import sys
import types
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "colab"


def cells(name):
    """The code cells of colab/NAME.ipynb: (source, tags)."""
    book = json.loads((FOLDER / f"{name}.ipynb").read_text(encoding="utf-8"))
    found = [cell for cell in book["cells"] if cell["cell_type"] == "code"]
    return [("".join(cell["source"]), cell["metadata"].get("tags", [])) for cell in found]


def plain(source):
    """A cell without the lines that are Jupyter's own."""
    return re.sub(r"^([ \t]*)[!%].*$", r"\1pass", source, flags=re.MULTILINE)


class Shown:
    """IPython.display's Image or Video of a file, which has to be there."""

    def __init__(self, path, **options):
        self.path = Path(path)
        assert self.path.is_file(), f"{path} is displayed, but is not there"


def run(name, monkeypatch, **settings):
    """(the names that the notebook has made, what it has displayed); every setting has to be one of its own."""
    shown = []
    display = types.ModuleType("IPython.display")
    display.Image, display.Video, display.display = (
        type("Image", (Shown,), {}),
        type("Video", (Shown,), {}),
        shown.append,
    )
    ipython = types.ModuleType("IPython")
    ipython.version_info, ipython.get_ipython = (9, 0), lambda: None  # which matplotlib asks for
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(os, "environ", os.environ.copy())
    names = {"__name__": "__main__"}
    for k, (source, tags) in enumerate(cells(name)):
        exec(compile(plain(source), f"{name}.ipynb, code cell {k}", "exec"), names)
        if "settings" in tags:
            unknown = set(settings) - set(names)
            assert not unknown, f"{name}.ipynb has no settings {unknown}"
            names |= settings
    return names, shown

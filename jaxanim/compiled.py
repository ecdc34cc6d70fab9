"""What the compiler made is kept, for the next program that needs the same: minutes, at full size."""

import argparse
import hashlib
import os
import platform
from pathlib import Path

import jaxlib

from jaxanim.media.tell import tell

FOLDER, SHORTEST = "JAX_COMPILATION_CACHE_DIR", "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"
NO_CACHE = "--no-cache"


def add_no_cache(parser: argparse.ArgumentParser) -> None:
    """Adds the option that `keep_compiled` looks for."""
    parser.add_argument(NO_CACHE, action="store_true", help="do not keep what is compiled for the next time")


def keep_compiled(arguments: list[str]) -> Path | None:
    """Has JAX keep compiled programs in a folder of the user's; for programs, before their first use of JAX.

    Returns the folder, or None where `arguments` say --no-cache or the folder cannot be made. One that is named in
    JAX_COMPILATION_CACHE_DIR stays. The folder is told of when it is made.
    """
    if NO_CACHE in arguments:
        os.environ.pop(FOLDER, None)
        return None
    if os.environ.get(FOLDER):
        return Path(os.environ[FOLDER])
    folder = default_folder()
    if not folder.is_dir():
        try:
            folder.mkdir(parents=True)
        except OSError:
            return None
        tell(f"what is compiled is kept in {folder} ({NO_CACHE}: it is not; {FOLDER}=FOLDER: elsewhere)")
    os.environ[FOLDER] = str(folder)
    os.environ.setdefault(SHORTEST, "1")
    return folder


def default_folder() -> Path:
    """In the user's cache, for this jaxlib and this kind of processor: a home may be shared by several machines."""
    try:
        described = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
        features = next(line for line in described.splitlines() if line.lower().startswith(("flags", "features")))
    except (OSError, StopIteration):
        features = platform.processor()
    kind = hashlib.sha256(f"{platform.machine()} {features}".encode()).hexdigest()[:8]
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return home / "jaxanim" / "compiled" / f"jaxlib-{jaxlib.__version__}-{kind}"

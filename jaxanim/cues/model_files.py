"""Where the files of other people's networks lie that preparation runs; the user names their folder once.

Looked through, in this order: the folder that the program is given; the folders in the environment variable
JAXANIM_MODELS (several are separated as in PATH); `folders = ["..."]` in ~/.config/jaxanim/models.toml; and where
rtmlib keeps what it downloaded. Nothing is downloaded.
"""

import fnmatch
import os
import tomllib
from dataclasses import dataclass
from pathlib import Path

from jaxanim.errors import InputError

VARIABLE = "JAXANIM_MODELS"


class MissingModel(InputError):
    """A network's file, or the package that runs it, is not there."""


@dataclass(frozen=True)
class ModelFile:
    """A file, or a folder, that holds a network.

    Attributes:
      names: patterns that its name may have, the best first.
      task: what it is for, to finish the sentence "... is needed to ...".
      example: what to get, in words.
    """

    names: tuple[str, ...]
    task: str
    example: str


PEOPLE = ModelFile(
    ("yolox_l*.onnx", "yolox_m*.onnx", "yolox*.onnx"),
    "find people",
    "yolox_l.onnx, which DWPose comes with, or an archive of RTMPose's YOLOX",
)
POSES = ModelFile(
    ("dw-ll_ucoco_384*.onnx", "rtmw*.onnx", "dwpose*.onnx", "*ucoco*.onnx", "*wholebody*.onnx"),
    "find the points of bodies, hands and faces",
    "dw-ll_ucoco_384.onnx (DWPose) or rtmw-dw-x-l_*.onnx (RTMW)",
)
MASKS = ModelFile(
    ("sam2.1-hiera-large", "sam2*-hiera-*", "sam2*"),
    "cut people out",
    "the folder of facebook/sam2.1-hiera-small in transformers' layout (config.json and model.safetensors)",
)
FACES = ModelFile(
    ("face_detection_yunet*.onnx", "yunet*.onnx"),
    "find faces",
    "face_detection_yunet_2023mar.onnx of OpenCV's model zoo",
)


def places(given: str | os.PathLike | None = None) -> list[Path]:
    """The folders that are looked through."""
    named = [given] if given else []
    named += filter(None, os.environ.get(VARIABLE, "").split(os.pathsep))
    cache = os.environ.get("RTMLIB_CACHE_DIR") or Path.home() / ".cache" / "rtmlib"
    return [Path(folder).expanduser() for folder in (*named, *_configured(), Path(cache) / "hub" / "checkpoints")]


def settings_file() -> Path:
    """The file in which a user names folders of models."""
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "jaxanim" / "models.toml"


def _configured() -> list[str]:
    file = settings_file()
    if not file.is_file():
        return []
    try:
        folders = tomllib.loads(file.read_text(encoding="utf-8"))["folders"]
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f'settings {file} cannot be read ({error!r}): it should say folders = ["..."]') from None
    if not isinstance(folders, list) or not all(isinstance(folder, str) for folder in folders):
        raise InputError(f"settings {file}: folders is {folders!r}; it should be a list of folders")
    return folders


def find(model: ModelFile, given: str | os.PathLike | None = None) -> Path:
    """The first file of the first pattern in the first place that has one; archives are unpacked by the user.

    Raises:
      MissingModel: there is none; the sentence names the file, what it is for and where it was looked for.
    """
    if given is not None and not Path(given).is_dir():
        raise InputError(f"--models is {given}, which is no folder")
    looked = places(given)
    for folder in looked:
        if folder.is_dir():
            entries = sorted(folder.iterdir())
            for pattern in model.names:
                for entry in entries:
                    if fnmatch.fnmatch(entry.name.lower(), pattern) and _whole(entry):
                        return entry
    raise MissingModel(
        f"no file to {model.task} was found: put {model.example} into a folder and name it with --models, "
        f"{VARIABLE}, or in {settings_file()}; looked for {' or '.join(model.names)} in "
        f"{', '.join(map(str, looked))}"
    )


def _whole(entry: Path) -> bool:
    return (entry.is_dir() and (entry / "config.json").is_file()) or (entry.is_file() and entry.suffix == ".onnx")

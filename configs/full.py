"""The rows of the table in docs/scaling.md: what is compiled at full size, and for which slices.

python -m train.compile --all
"""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Row:
    """A program: the config's name without "full_", the slice, the step, and fields set otherwise."""

    config: str
    topology: str
    step: str = "train"
    overrides: tuple[str, ...] = ()

    @property
    def arguments(self) -> list[str]:
        """What `train.compile` is given."""
        file = f"configs/full_{self.config}.py"
        return [file, *self.overrides, "--topology", self.topology, "--step", self.step]


def _batch(number: int, **mesh: int) -> tuple[str, ...]:
    return (f"batch_size={number}", *(f"mesh.{axis}={size}" for axis, size in mesh.items()))


def _video(source: str, frames: int, span: int, size: str) -> tuple[str, ...]:
    return (f"task.{source}.span={span}", f"task.{source}.frames={frames}", f"task.{source}.size={size}")


# Slice: chips, over how many of them parameters are cut where every chip has a video, and over how many the tokens
# of a longer or larger one.
SLICES = {"v5p-64": (32, 32, 1), "v6e-64": (64, 64, 4), "v5e-256": (256, 64, 16), "v6e-256": (256, 64, 4)}
# The configs' own are 49 frames of 512x512 and 81 of 480x832.
SHORT = [("directanimator", ()), ("poseanything", ())]
LONG = [
    ("directanimator", _video("pairs", 81, 100, "512,512")),
    ("directanimator", _video("pairs", 49, 75, "768,1360")),
    ("directanimator", _video("pairs", 81, 100, "768,1360")),
    ("poseanything", _video("clips", 121, 121, "704,1280")),
]


def _transformers(slice_: str, chips: int, fsdp: int, context: int) -> list[Row]:
    cut = {"fsdp": chips // context, "context": context}
    kinds = [(SHORT, _batch(chips, fsdp=fsdp)), (LONG, _batch(chips // context, **cut))]
    return [Row(name, slice_, overrides=(*mesh, *video)) for videos, mesh in kinds for name, video in videos]


def _unets(slice_: str, chips: int) -> list[Row]:
    # State of float32 for 1.2 B parameters has no room on a v5e chip.
    mesh = {"fsdp": 16} if slice_.startswith("v5e") else {}
    stages = [("magicanimate", 1, ("task.stage=1",)), ("magicanimate", 16, ()), ("magicpose", 1, ())]
    return [
        Row(name, slice_, overrides=(*_batch(frames * chips, **mesh), *stage)) for name, frames, stage in stages
    ]


ROWS = [
    *(row for slice_, sizes in SLICES.items() for row in _transformers(slice_, *sizes)),
    *(row for slice_, (chips, *_) in SLICES.items() for row in _unets(slice_, chips)),
    *(Row(name, "v6e-8", "sample", _batch(8, fsdp=8)) for name, _ in SHORT),
    *(Row(name, "v6e-8", "sample") for name in ("magicanimate", "magicpose")),
]

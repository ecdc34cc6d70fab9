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


def _batch(number: int, fsdp: int = 0, tensor: int = 1) -> tuple[str, ...]:
    cut = (f"mesh.fsdp={fsdp}", f"mesh.tensor={tensor}") if fsdp else ()
    return (f"batch_size={number}", *cut)


LARGE = ("task.pairs.frames=81", "task.pairs.span=100", "task.pairs.size=768,1360")
WIDE = ("task.clips.frames=121", "task.clips.span=121", "task.clips.size=704,1280")
ROWS = [
    Row("directanimator", "v5p-64", overrides=_batch(32, 32)),
    Row("poseanything", "v5p-64", overrides=_batch(32, 32)),
    Row("directanimator", "v6e-64", overrides=_batch(64, 64)),
    Row("poseanything", "v6e-64", overrides=_batch(64, 64)),
    Row("directanimator", "v5e-256", overrides=_batch(256, 64)),
    Row("poseanything", "v5e-256", overrides=_batch(256, 64)),
    Row("directanimator", "v6e-256", overrides=_batch(256, 64)),
    Row("poseanything", "v6e-256", overrides=_batch(256, 64)),
    Row("directanimator", "v5p-64", overrides=(*_batch(32, 32), *LARGE)),
    Row("poseanything", "v5p-64", overrides=(*_batch(32, 32), *WIDE)),
    Row("directanimator", "v6e-8", "sample", _batch(8, 8)),
    Row("poseanything", "v6e-8", "sample", _batch(8, 8)),
    Row("magicanimate", "v6e-64", overrides=("task.stage=1", "batch_size=64")),
    Row("magicanimate", "v6e-64", overrides=("batch_size=1024",)),
    Row("magicpose", "v6e-64", overrides=("batch_size=64",)),
    Row("magicanimate", "v6e-8", "sample"),
    Row("magicpose", "v6e-8", "sample"),
]

"""A checkpoint in, a weights folder out, and a report of what went where."""

import re
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from jaxanim.convert.plan import Plan, make_plan, stored_dtype
from jaxanim.convert.source import AS_IS, Reading
from jaxanim.convert.systems import Whole, assemble, title
from jaxanim.errors import InputError
from jaxanim.media.files import atomic_folder, check_space
from jaxanim.weights import write_weights

TOKENIZER_FILES = (
    "vocab.json",
    "merges.txt",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
)


class Conversion(NamedTuple):
    """What a conversion will write: the recognised whole and one checked plan per network."""

    whole: Whole
    plans: tuple[Plan, ...]

    @property
    def bytes(self) -> int:
        """Bytes of all tensors, as they will be written."""
        return sum(leaf.size * leaf.dtype.itemsize for plan in self.plans for leaf in plan.leaves.values())

    @property
    def dropped(self) -> dict[str, str]:
        """Names that are left out on purpose, with the reasons."""
        return {name: why for plan in self.plans for part in plan.parts for name, why in part.dropped.items()}


def plan_conversion(
    src: Path,
    *,
    base: Path | None = None,
    vae: Path | None = None,
    tokenizer: Path | None = None,
    dtype: str | None = None,
    reading: Reading = AS_IS,
) -> Conversion:
    """Recognises a checkpoint and checks that all of it fits, reading names and shapes alone.

    Args:
      src: a file or folder.
      base: Stable Diffusion 1.5 for what comes without it.
      vae: an autoencoder to take in place of the checkpoint's own, or for lack of one.
      tokenizer: a folder with vocab.json and merges.txt, or tokenizer.json.
      reading: which files of `src`, and which tensors in them.
      dtype: "float16", "bfloat16" or "float32"; None keeps what is stored.

    Raises InputError for anything that cannot be converted whole.
    """
    target = stored_dtype(dtype)
    whole = assemble(src, base, vae, tokenizer, reading)
    plans = (make_plan(name, config, parts, target) for name, (config, parts) in whole.networks.items())
    return Conversion(whole, tuple(plans))


def write_conversion(conversion: Conversion, dst: Path, report: Callable[[str, int], None] | None = None) -> None:
    """Writes the weights folder `dst`, one tensor in memory at a time. It appears when it is whole, or not at all.

    Args:
      report: called after each tensor with its path and its number of bytes.

    Raises InputError where `dst` holds something already, or a tensor turns out to be damaged.
    """
    check_free(dst)
    check_space(dst, conversion.bytes, f"DST {dst}")
    whole = conversion.whole
    with atomic_folder(dst) as folder:
        if whole.tokenizer is not None:
            (folder / "tokenizer").mkdir()
            for name in TOKENIZER_FILES:
                if (whole.tokenizer / name).is_file():
                    shutil.copyfile(whole.tokenizer / name, folder / "tokenizer" / name)
        write_weights(
            folder,
            {plan.network: (plan.config, plan.leaves) for plan in conversion.plans},
            system=whole.system,
            settings=whole.settings,
            metadata={"converted": _origins(conversion), "left_out": summary(conversion.dropped)},
            report=report,
        )


def check_free(dst: Path) -> None:
    """Raises InputError unless `dst` is new or an empty folder."""
    if dst.is_file() or (dst.is_dir() and any(dst.iterdir())):
        raise InputError(f"DST is {dst}, which holds something already; name a new folder")


def describe(conversion: Conversion) -> str:
    """What was recognised, and which tensors go where: a few lines for a reader."""
    lines = [f"{title(conversion.whole.system)}:"]
    for plan in conversion.plans:
        origins = " and ".join(f"{part.path} ({part.naming})" for part in plan.parts)
        dtypes = ", ".join(sorted({str(leaf.dtype) for leaf in plan.leaves.values()}))
        lines.append(
            f"  {plan.network}.safetensors: {len(plan.leaves):,} tensors, {plan.size:,} parameters, {dtypes},"
            f" from {origins}"
        )
    if conversion.whole.tokenizer is not None:
        lines.append(f"  tokenizer: from {conversion.whole.tokenizer}")
    for reason, names in summary(conversion.dropped).items():
        lines.append(f"  left out, {reason}: {', '.join(names)}")
    return "\n".join(lines)


def summary(dropped: dict[str, str]) -> dict[str, list[str]]:
    """Names by reason; names that differ in numbers alone are one, with how many they are."""
    by_reason: dict[str, Counter] = {}
    for name, reason in dropped.items():
        short = "model_ema.*" if name.startswith("model_ema.") else re.sub(r"\b\d+\b", "N", name)
        by_reason.setdefault(reason, Counter())[short] += 1
    return {
        reason: [name if times == 1 else f"{name} ({times})" for name, times in names.items()]
        for reason, names in by_reason.items()
    }


def names_table(conversion: Conversion) -> str:
    """Every tensor's old name, and the file and leaf it becomes."""
    return "\n".join(
        f"{leaf.name} -> {plan.network}.safetensors {path} {leaf.shape}"
        for plan in conversion.plans
        for path, leaf in plan.leaves.items()
    )


def _origins(conversion: Conversion) -> dict[str, list[str]]:
    return {
        plan.network: [f"{part.path.parent.name}/{part.path.name}: {part.naming}" for part in plan.parts]
        for plan in conversion.plans
    }

"""Measures a system on unseen puppets: `python -m sample.evaluate CONFIG --seeds 950000:950032`; or
videos beside the true ones: `--real A --fake B`."""

import argparse
import dataclasses
import json
import math
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import jax
from tqdm import tqdm

from jaxanim import systems
from jaxanim.compiled import keep_compiled
from jaxanim.config_file import load_config
from jaxanim.cpu import prepare_cpu
from jaxanim.ending import stop_at_once
from jaxanim.errors import InputError
from jaxanim.media.files import in_order
from jaxanim.media.outputs import check_outputs
from jaxanim.metrics.evaluate import Case, Evaluation, Row, Variant, evaluate_cases, mean
from jaxanim.metrics.face import load_face_network, measure_faces
from jaxanim.metrics.puppet_cases import puppet_case
from jaxanim.metrics.report import legend, results_table, write_sheet
from jaxanim.systems.base import choose
from jaxanim.weights import fingerprint
from sample.animate import REPOSITORY
from sample.arguments import Parser, number, run, seeds, whole
from sample.compare import compare


def parser() -> Parser:
    """The program's options."""
    options = Parser("sample.evaluate", description=__doc__, allow_abbrev=False)
    add = options.add_argument
    add("config", help="Python file with `config = Evaluation(...)`")
    add("--seeds", type=seeds, required=True, metavar="A:B", help="identities A to B-1; 950000 on are unseen")
    add("--frames", type=whole(2), help="of each video (default: the config's)")
    add("--weights", help="weights folder (default: the config's)")
    add("--base", help="weights folder of another base model, for systems that plug into one")
    add("--out", help="folder for results, strips and sheet (default: out/NAME)")
    add("--motions", help="folder of motion folders (OpenPose JSON), each performed by every identity")
    add("--ablations", action="store_true", help="one row for each of the config's variants")
    add("--only", help="with --ablations: the variants to run, separated by commas (default: all)")
    add("--skip-wrong", action="store_true", help="leave out the wrong identity, at half the cost")
    add("--limit-minutes", type=number(0), help="start no case after this; the same command goes on later")
    return options


def evaluate(argv: Sequence[str] | None = None) -> None:
    """The program; raises InputError for what it cannot use."""
    options = parser().parse_args(argv)
    config = load_config(options.config, Evaluation)
    changes = {name: getattr(options, name) for name in ("frames", "weights") if getattr(options, name)}
    config = dataclasses.replace(config, **changes)
    out = Path(options.out or f"out/{config.name}")
    check_evaluation(config, options, out)
    deadline = time.monotonic() + 60 * (math.inf if options.limit_minutes is None else options.limit_minutes)
    wrong = not options.skip_wrong and not options.ablations
    cases = choose_cases(config, options.seeds, options.motions, wrong=wrong)

    if options.ablations:
        variants = choose_variants(config, options.only)
        rows = {}
        for variant in variants:
            results = run_variant(config, variant, cases, out / variant.name, deadline, options.base)
            if results:
                write_sheet(out / variant.name, results)
                budget = f", {variant.budget}" if variant.budget else ""
                rows[f"{variant.name} ({len(results)} of {len(cases)}{budget})"] = mean(results.values())
        print(f"{results_table(rows, 'variant')}\n{legend(rows)}")
        return
    rows = run_variant(config, Variant(config.name), cases, out, deadline, options.base)
    if not rows:
        print(f"none of {len(cases)} cases is done")
        return
    print(f"{results_table(rows | {'mean': mean(rows.values())}, 'case')}\n{legend(rows)}")
    print(f"{len(rows)} of {len(cases)} cases; results in {out}, contact sheet {write_sheet(out, rows)}")
    print(json.dumps({"cases": len(rows)} | mean(rows.values())))


def check_evaluation(config: Evaluation, options: argparse.Namespace, out: Path) -> None:
    """Raises InputError where results in `out` would replace something that the evaluation reads."""
    networks = {"weights": config.weights, "face": config.face}
    networks |= {f"weights of {variant.name}": variant.weights for variant in config.variants}
    reads = {name: path and REPOSITORY / path for name, path in networks.items()}
    reads |= {"config": options.config, "--base": options.base, "--motions": options.motions}
    reads |= {f"motion {folder.name}": folder for folder in motion_folders(options.motions)}
    folders = [out, *(out / variant.name for variant in config.variants if options.ablations)]
    for name in ("results.json", "sheet.png", "strips"):
        check_outputs({f"--out {folder}: {name}": folder / name for folder in folders}, reads)


def motion_folders(motions: str | None) -> list[Path]:
    """The folders in --motions that hold OpenPose JSON, in order of name."""
    if motions is None:
        return []
    if not Path(motions).is_dir():
        raise InputError(f"--motions {motions} is not a folder")
    folders = in_order(path for path in Path(motions).iterdir() if any(path.glob("*.json")))
    if not folders:
        raise InputError(f"--motions {motions} holds no folder with OpenPose JSON files in it")
    return folders


def choose_cases(
    config: Evaluation, identities: range, motions: str | None, *, wrong: bool
) -> dict[str, Callable[[], Case]]:
    """Cases by name: each identity with a motion of its own, or with each captured motion of a folder.

    The wrong identity of a case is the next one, and the last one's is the first.
    """
    following = [*identities[1:], identities[0] if len(identities) > 1 else identities[0] + 1]
    others = following if wrong else [None] * len(identities)
    make = partial(
        puppet_case,
        frames=config.frames,
        size=config.size,
        kind=config.kind,
        needs=systems.entry(config.system).needs,
        shape=config.shape,
    )

    def driver(seed: int) -> int | None:
        return None if config.driver is None else seed + config.driver

    pairs = list(zip(identities, others, strict=True))
    if motions is None and not config.styles:
        return {str(seed): partial(make, seed, other=other, driver=driver(seed)) for seed, other in pairs}
    named = {style: style for style in config.styles}
    if motions is not None:
        named = {folder.name: folder for folder in motion_folders(motions)}
    return {
        f"{name}/{seed}": partial(make, seed, other=other, driver=driver(seed), motion=motion)
        for name, motion in named.items()
        for seed, other in pairs
    }


def choose_variants(config: Evaluation, only: str | None) -> list[Variant]:
    """The config's variants, or those named in `only`; InputError where one's weights are missing, for a table is
    long in the making."""
    known = {variant.name: variant for variant in config.variants}
    names = only.split(",") if only else list(known)
    if unknown := [name for name in names if name not in known]:
        raise InputError(f"--only names {', '.join(unknown)}; the config's variants are {', '.join(known)}")
    if not names:
        raise InputError("--ablations: this config has no variants")
    for variant in (known[name] for name in names):
        if variant.weights and not (REPOSITORY / variant.weights / "config.json").is_file():
            raise InputError(
                f"--ablations: {variant.name!r} needs weights in {variant.weights}, where there are none; train "
                "them as the config says, or name the other variants in --only"
            )
    return [known[name] for name in names]


def run_variant(
    config: Evaluation,
    variant: Variant,
    cases: Mapping[str, Callable[[], Case]],
    out: Path,
    deadline: float,
    base: str | None = None,
) -> dict[str, Row]:
    """The metrics of every case that is done or can be started before the deadline (time.monotonic)."""
    weights = variant.weights or config.weights
    system = systems.load(config.system, REPOSITORY / weights, **({"base": base} if base else {}))
    options = {
        "steps": config.steps or system.defaults.steps,
        "guidance": system.defaults.guidance if config.guidance is None else config.guidance,
        **config.options,
        **variant.options,
    }
    sampling, own, memory = choose(system.entry, system.defaults, options)
    settings = {
        "system": config.system,
        "weights": weights,
        "fingerprint": fingerprint(REPOSITORY / weights),
        "base": fingerprint(base) if base else None,
        "size": config.size,
        "frames": config.frames,
        "kind": config.kind,
        "driver": config.driver,
        "styles": config.styles,
        "shape": config.shape,
        "face": config.face,
        "options": options,
    }
    measure = measure_faces(load_face_network(REPOSITORY / config.face)) if config.face else None

    def animate(reference, driving):
        return system.animate(
            reference, driving, key=jax.random.key(0), sampling=sampling, options=own, memory=memory
        )

    with tqdm(total=len(cases), desc=variant.name, unit="case") as bar:

        def report(name):
            bar.update()

        return evaluate_cases(animate, cases, out, settings, measure=measure, deadline=deadline, report=report)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the program; returns its exit code. With --real it compares videos, see `sample.compare`."""
    given = sys.argv[1:] if argv is None else argv
    videos = any(word.split("=")[0] in ("--real", "--fake") for word in given)
    return run(compare if videos else evaluate, "sample.evaluate", argv)


if __name__ == "__main__":
    prepare_cpu()
    keep_compiled(sys.argv)
    stop_at_once("sample.evaluate")
    sys.exit(main())

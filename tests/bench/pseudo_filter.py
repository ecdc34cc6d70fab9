"""How well the filter of pseudo driving videos tells those that follow their driver: `python -m tests.bench.pseudo_filter`.

Prints JSON: for each sort of video, of puppets whose truth is known, the quantiles of what is measured and the share
that the filter keeps. "another person" moves exactly as the driver does; "backwards" and "another motion" are of that
person too, "frozen" is its first frame repeated.
"""

import argparse
import json

import numpy as np

from jaxanim.metrics.pseudo import Filter, Seen, measure
from jaxanim.puppets import make_character, puppet_clip


def sorts(seed: int, frames: int, size: tuple[int, int]) -> dict[str, Seen]:
    """By name, the driver and what might have been made of it."""
    person = make_character(seed + 20_000)
    driver = puppet_clip(seed, frames, size, reference=False)
    other = puppet_clip(seed, frames, size, character=person, reference=False)
    elsewhere = puppet_clip(seed + 500, frames, size, character=person, reference=False)
    seen = {name: Seen(c.frames, c.mask, c.face_box) for name, c in
            {"driver": driver, "another person": other, "another motion": elsewhere}.items()}  # fmt: skip
    made = seen["another person"]
    seen["backwards"] = Seen(made.frames[::-1], made.masks[::-1], made.boxes[::-1])
    still = np.zeros(frames, int)
    return seen | {"frozen": Seen(made.frames[still], made.masks[still], made.boxes[still])}


def main() -> None:
    """The program."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=24)
    parser.add_argument("--frames", type=int, default=25)
    parser.add_argument("--size", type=int, default=128)
    options = parser.parse_args()
    found: dict[str, list[dict[str, float]]] = {}
    for seed in range(950_000, 950_000 + options.cases):
        seen = sorts(seed, options.frames, (options.size, options.size))
        driver = seen.pop("driver")
        for name, one in seen.items():
            found.setdefault(name, []).append(measure(driver, one))
    report = {}
    for name, each in found.items():
        kept = [not Filter().faults(one) for one in each]
        quantiles = {
            measured: np.quantile([one[measured] for one in each], [0, 0.5, 1]).round(2).tolist()
            for measured in each[0]
        }
        report[name] = {"kept": round(float(np.mean(kept)), 3), "least, median, most": quantiles}
    print(json.dumps({"cases": options.cases, "frames": options.frames, "size": options.size} | report))


if __name__ == "__main__":
    main()

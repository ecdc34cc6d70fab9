"""How fast puppets render on one core, labels included. Prints one line of JSON.

python tests/bench/bench_puppets.py [--size 128] [--frames 96] [--clips 6]
"""

import argparse
import json
import time

from jaxanim.puppets import KINDS, puppet_clip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--frames", type=int, default=96)
    parser.add_argument("--clips", type=int, default=6)
    args = parser.parse_args()
    speed = {}
    for kind in KINDS:
        puppet_clip(0, 2, (args.size, args.size), kind)
        start = time.process_time()
        for seed in range(args.clips):
            puppet_clip(seed, args.frames, (args.size, args.size), kind, labels=True)
        speed[kind] = round(args.clips * (args.frames + 1) / (time.process_time() - start), 1)
    start = time.process_time()
    for seed in range(20):
        puppet_clip(seed, 120, (args.size, args.size), frame_indices=[5, 60])
    sparse = round((time.process_time() - start) / 20, 4)
    print(
        json.dumps(
            {"size": args.size, "frames_per_second": speed, "seconds_for_two_frames_and_a_reference": sparse}
        )
    )


if __name__ == "__main__":
    main()

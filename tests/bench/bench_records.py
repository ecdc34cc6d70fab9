"""How fast a training's clips come from array_record files, by the number of threads that decode them.

    python -m tests.bench.bench_records [--threads 0 1 2 4] [--clips 24] [--rounds 3] [--folder DATASET]

Builds a dataset of puppets in a temporary folder, or reads one that `train.records` has built, and prints one JSON
object: elements a second with so many threads (0: the one that asks), in turns, the best of the rounds, and over
those without. Needs `jaxanim[tfds]`.
"""

import argparse
import json
import os
import tempfile
import time
from pathlib import Path

import grain

from jaxanim.data.records import RecordClips, build, of_puppets


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, nargs="+", default=[0, 1, 2, 4])
    parser.add_argument("--clips", type=int, default=24, help="puppets, of 75 frames")
    parser.add_argument("--frames", type=int, default=16, help="of an element")
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", help="a dataset that is there")
    args = parser.parse_args()
    size = (args.size, args.size)
    with tempfile.TemporaryDirectory() as folder:
        built = args.folder or build(Path(folder), of_puppets({"train": (0, args.clips)}, 75, size), "Puppets.")
        clips = RecordClips(str(built), frames=args.frames, spacing="consecutive", size=size)
        best = dict.fromkeys(args.threads, 0.0)
        for _ in range(args.rounds):
            for threads in best:
                best[threads] = max(best[threads], rate(clips, threads, args.batch))
    report = {"elements": len(clips), "frames": args.frames, "size": args.size, "cpus": os.cpu_count()}
    report["elements a second by threads"] = {threads: round(value, 2) for threads, value in best.items()}
    if 0 in best:
        report["over no thread"] = {threads: round(value / best[0], 2) for threads, value in best.items()}
    print(json.dumps(report))


def rate(clips: RecordClips, threads: int, batch: int) -> float:
    """Elements a second of one pass."""
    batches = grain.MapDataset.source(clips).seed(0).shuffle().repeat(2).batch(batch)
    options = grain.ReadOptions(num_threads=threads, prefetch_buffer_size=2 * threads)
    turns, iterator = max(1, len(clips) // batch), iter(batches.to_iter_dataset(options))
    next(iterator)  # threads are there, and files are open
    begin = time.perf_counter()
    for _ in range(turns):
        next(iterator)
    return turns * batch / (time.perf_counter() - begin)


if __name__ == "__main__":
    main()

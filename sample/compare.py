"""Videos beside the true ones, by files of one's own: `python -m sample.evaluate --real A --fake B`.

A and B are a video each, or folders with videos of the same names. What needs a network's file is measured where
the file is named, and the network's name stands in the metric's.
"""

import json
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from jaxanim.convert.feature_networks import read_lpips
from jaxanim.cues.detections import kept_beside
from jaxanim.cues.faces import aligned, seen
from jaxanim.cues.prepare import observe
from jaxanim.errors import InputError
from jaxanim.media.files import in_order
from jaxanim.media.images import resize_and_crop
from jaxanim.media.keypoints import BODY, FACE
from jaxanim.media.outputs import check_outputs
from jaxanim.media.video import read_video
from jaxanim.metrics.clip import ClipImages
from jaxanim.metrics.face import cosine, load_face_network
from jaxanim.metrics.frechet import frechet_distance
from jaxanim.metrics.image import psnr, ssim
from jaxanim.metrics.lpips import lpips
from jaxanim.metrics.motion import aed, akd, frame_consistency, l1, mkr, similarity, warping_error
from jaxanim.metrics.onnx_features import OnnxFeatures
from jaxanim.metrics.video import align, number, temporal_error
from sample.arguments import Parser, size
from sample.inputs import VIDEO_SUFFIXES
from sample.preparing import tools

Video = np.ndarray


def parser() -> Parser:
    """The program's options."""
    options = Parser("sample.evaluate", description=__doc__, allow_abbrev=False)
    add = options.add_argument
    add("--real", required=True, help="the true video, or a folder of them")
    add("--fake", required=True, help="the video made, or a folder of them with the same names")
    add("--size", type=size, metavar="WxH", help="to compare at (default: the true video's)")
    add("--lpips", choices=("alex", "vgg"), default="alex", help="network of LPIPS (default: %(default)s)")
    add("--lpips-network", help="torchvision's file of it, such as alexnet-owt-7be5be79.pth")
    add("--lpips-weights", help="LPIPS v0.1's own file, alex.pth or vgg.pth")
    add("--face", help="face network: an ArcFace or AdaFace ONNX file, or a puppet face network's folder")
    add("--clip", help="weights folder with CLIP's image encoder: CLIP-I and the consistency of frames")
    add("--poses", action="store_true", help="AKD and MKR of the body, by the detectors in --models")
    add("--models", help="folder with the detectors' files (see sample.prepare)")
    add("--features", help="ONNX file of a network whose features are set side by side (Fréchet)")
    add("--out", help="JSON file to write the numbers into")
    return options


def compare(argv: Sequence[str] | None = None) -> None:
    """The program; raises InputError for what it cannot use."""
    options = parser().parse_args(argv)
    named = ("real", "fake", "models", "face", "features", "clip", "lpips_network", "lpips_weights")
    check_outputs({"--out": options.out}, {f"--{n.replace('_', '-')}": getattr(options, n) for n in named})
    if (options.lpips_network is None) != (options.lpips_weights is None):
        raise InputError("--lpips-network and --lpips-weights serve only together")
    weights = options.lpips_network and read_lpips(options.lpips_network, options.lpips_weights, options.lpips)
    face = load_face_network(options.face) if options.face else None
    look = tools(options.models) if options.poses or face is not None else None
    clip = ClipImages(options.clip) if options.clip else None
    features = OnnxFeatures(options.features) if options.features else None
    rows: dict[str, dict[str, float | None]] = {}
    kept: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
    for name, real_path, fake_path in tqdm(pairs(Path(options.real), Path(options.fake)), unit="video"):
        real, fake = _same(real_path, fake_path, options.size)
        row = pixels(real, fake)
        if weights is not None:
            row[f"lpips_{options.lpips}"] = float(lpips(weights, fake, real, options.lpips).mean())
        if clip is not None:
            a, b = clip(real), clip(fake)
            row |= {"clip_i": float(similarity(b, a).mean()), "frame_consistency": frame_consistency(b)}
        if look is not None:
            row |= people(real, fake, real_path, fake_path, look, face)
        if features is not None:
            for part, video in zip(kept, (real, fake), strict=True):
                part.append(features(video))
        rows[name] = {metric: _finite(value) for metric, value in row.items()}
    mean = {metric: _mean([row[metric] for row in rows.values()]) for metric in next(iter(rows.values()))}
    if features is not None:
        mean[f"frechet_{features.name}"] = round(frechet_distance(*map(np.concatenate, kept)), 6)
    head = ["video", *mean]
    cells = [[name, *(number(row.get(metric)) for metric in mean)] for name, row in (rows | {"mean": mean}).items()]
    print(align([head, *cells]))
    if options.out:
        Path(options.out).write_text(json.dumps({"mean": mean, "videos": rows}, indent=1) + "\n", encoding="utf-8")
    print(json.dumps({"videos": len(rows)} | mean))


def pairs(real: Path, fake: Path) -> list[tuple[str, Path, Path]]:
    """(name, true video, made video) of each; InputError where one of them has no partner."""
    if real.is_dir() != fake.is_dir():
        raise InputError(f"--real {real} and --fake {fake}: name two videos, or two folders of videos")
    if not real.is_dir():
        return [(fake.stem, real, fake)]
    found = [
        {path.stem: path for path in in_order(folder.iterdir()) if path.suffix.lower() in VIDEO_SUFFIXES}
        for folder in (real, fake)
    ]
    if lone := sorted(found[0].keys() ^ found[1].keys()):
        raise InputError(f"--real {real} and --fake {fake}: {lone[0]} is in one of them alone")
    if not found[0]:
        raise InputError(f"--real {real} holds no videos ({', '.join(VIDEO_SUFFIXES)})")
    return [(name, path, found[1][name]) for name, path in found[0].items()]


def _same(real_path: Path, fake_path: Path, shape: tuple[int, int] | None) -> tuple[Video, Video]:
    real, fake = read_video(real_path)[0], read_video(fake_path)[0]
    if len(real) != len(fake):
        raise InputError(f"{fake_path} has {len(fake)} frames, but the true video {real_path} has {len(real)}")
    shape = shape or real.shape[1:3]
    return resize_and_crop(real, shape), resize_and_crop(fake, shape)


def pixels(real: Video, fake: Video) -> dict[str, float]:
    """The metrics of pixels, means over frames; the warping error goes by the true video's flow."""
    row = {"l1": l1(fake, real).mean(), "psnr": psnr(fake, real).mean(), "ssim": ssim(fake, real).mean()}
    if len(real) > 1:
        row["temporal_error"] = temporal_error(fake, real).mean()
        row["warping_error"] = np.nanmean(warping_error(fake, real))
    return {name: float(value) for name, value in row.items()}


def people(real: Video, fake: Video, real_path: Path, fake_path: Path, look, face) -> dict[str, float]:
    """The metrics of the main person: keypoints in the pixels compared, and the face where the true one is seen."""
    shots = [
        observe(video, path, look, {"poses"}, keep=kept_beside(path), what="video")
        for video, path in ((real, real_path), (fake, fake_path))
    ]
    body = [shot.fields[BODY][:, 0] for shot in shots]
    row = {"akd_body": akd(body[1], body[0]), "mkr_body": mkr(body[1], body[0])}
    if face is not None:
        there = seen(shots[0].fields[FACE][:, 0]) & seen(shots[1].fields[FACE][:, 0])
        row |= {"face_cos": math.nan, "aed_face": math.nan}
        if there.any():
            cut = [
                face.embed(aligned(shot.frames[there], shot.fields[FACE][there, 0], face.side)) for shot in shots
            ]
            row |= {"face_cos": float(cosine(cut[1], cut[0]).mean()), "aed_face": aed(cut[1], cut[0])}
    return row


def _finite(value: float) -> float | None:
    return round(float(value), 6) if math.isfinite(value) else None


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return round(float(np.mean(known)), 6) if known else None



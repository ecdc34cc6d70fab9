"""Videos beside the true ones, by files of one's own: `python -m sample.evaluate --real A --fake B`.

A and B are a video each, or folders with videos of the same names. What needs a network's file is measured where
the file is named, and the network's name stands in the metric's.
"""

import argparse
import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from jaxanim.convert.feature_networks import read_i3d, read_inception, read_lpips, read_resnet3d
from jaxanim.cues.detections import kept_beside
from jaxanim.cues.faces import aligned, seen
from jaxanim.cues.prepare import Shot, Tools, observe
from jaxanim.errors import InputError
from jaxanim.media.files import in_order
from jaxanim.media.images import read_image, resize_and_crop
from jaxanim.media.keypoints import BODY, FACE
from jaxanim.media.outputs import check_outputs
from jaxanim.media.video import read_video
from jaxanim.metrics.clip import ClipImages
from jaxanim.metrics.face import FaceNetwork, cosine, load_face_network
from jaxanim.metrics.features import Features, fid, fid_vid, fvd
from jaxanim.metrics.frechet import frechet_distance
from jaxanim.metrics.image import l1, psnr, ssim
from jaxanim.metrics.lpips import lpips
from jaxanim.metrics.motion import aed, akd, flc, frame_consistency, mkr, plc, similarity, warping_error
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
    add("--reference", help="with --face: the picture that was animated, or a folder of them with the same names")
    add("--poses", action="store_true", help="AKD, MKR, PLC and FLC, by the detectors in --models")
    add("--models", help="folder with the detectors' files (see sample.prepare)")
    add("--fid", metavar="FILE", help="Inception-v3's file, such as pt_inception-2015-12-05-6726825d.pth")
    add(
        "--fid-like",
        choices=("pytorch-fid", "torch-fidelity"),
        default="pytorch-fid",
        help="whose resizing FID has (default: %(default)s)",
    )
    add("--fid-vid", metavar="FILE", help="3D ResNet-50's file, resnet-50-kinetics.pth")
    add("--fvd", metavar="FILE", help="I3D's file, such as i3d_pretrained_400.pt")
    add("--features", help="ONNX file of another network whose features are set side by side (Fréchet)")
    add("--out", help="JSON file to write the numbers into")
    return options


def compare(argv: Sequence[str] | None = None) -> None:
    """The program; raises InputError for what it cannot use."""
    options = parser().parse_args(argv)
    named = ("real", "fake", "reference", "models", "face", "features", "clip", "lpips_network", "lpips_weights",
             "fid", "fid_vid", "fvd")  # fmt: skip
    check_outputs({"--out": options.out}, {f"--{n.replace('_', '-')}": getattr(options, n) for n in named})
    if (options.lpips_network is None) != (options.lpips_weights is None):
        raise InputError("--lpips-network and --lpips-weights serve only together")
    if options.reference and not options.face:
        raise InputError("--reference is for the face's identity: name --face too")
    weights = options.lpips_network and read_lpips(options.lpips_network, options.lpips_weights, options.lpips)
    face = load_face_network(options.face) if options.face else None
    look = tools(options.models) if options.poses or face is not None else None
    clip = ClipImages(options.clip) if options.clip else None
    sets = {networks.name: networks for networks in feature_networks(options)}
    rows: dict[str, dict[str, float | None]] = {}
    kept: dict[str, tuple[list[np.ndarray], list[np.ndarray]]] = {name: ([], []) for name in sets}
    for name, real_path, fake_path in tqdm(pairs(Path(options.real), Path(options.fake)), unit="video"):
        real, fake = _same(real_path, fake_path, options.size)
        row = pixels(real, fake)
        if weights is not None:
            row[f"lpips_{options.lpips}"] = float(lpips(weights, fake, real, options.lpips).mean())
        if clip is not None:
            a, b = clip(real), clip(fake)
            row |= {"clip_i": float(similarity(b, a).mean()), "frame_consistency": frame_consistency(b)}
        if look is not None:
            row |= people(real, fake, real_path, fake_path, look, face, reference_of(options.reference, name))
        for features, parts in zip(sets.values(), kept.values(), strict=True):
            for part, video in zip(parts, (real, fake), strict=True):
                part.append(features(video))
        rows[name] = {metric: _finite(value) for metric, value in row.items()}
    mean = {metric: _mean([row[metric] for row in rows.values()]) for metric in next(iter(rows.values()))}
    mean |= {name: round(frechet_distance(*map(np.concatenate, parts)), 6) for name, parts in kept.items()}
    head = ["video", *mean]
    cells = [[name, *(number(row.get(metric)) for metric in mean)] for name, row in (rows | {"mean": mean}).items()]
    print(align([head, *cells]))
    if options.out:
        Path(options.out).write_text(json.dumps({"mean": mean, "videos": rows}, indent=1) + "\n", encoding="utf-8")
    print(json.dumps({"videos": len(rows)} | mean))


def feature_networks(options: argparse.Namespace) -> Iterator[Features | OnnxFeatures]:
    """The networks whose files are named, each with the name of its Fréchet distance."""
    if options.fid:
        yield fid(read_inception(options.fid), options.fid_like)
    if options.fid_vid:
        yield fid_vid(read_resnet3d(options.fid_vid))
    if options.fvd:
        yield fvd(read_i3d(options.fvd))
    if options.features:
        yield OnnxFeatures(options.features)


def reference_of(given: str | None, name: str) -> Path | None:
    """The picture that a video was made of: --reference, or the one of the video's name in it."""
    if given is None or not Path(given).is_dir():
        return given and Path(given)
    found = [path for path in in_order(Path(given).iterdir()) if path.stem == name]
    if len(found) != 1:
        raise InputError(f"--reference {given} holds {len(found)} pictures of the name {name}; it should hold one")
    return found[0]


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


def people(
    real: Video,
    fake: Video,
    real_path: Path,
    fake_path: Path,
    look: Tools,
    face: FaceNetwork | None,
    reference: Path | None,
) -> dict[str, float]:
    """The metrics of the main person: keypoints in the pixels compared, and the face where it is seen: in both
    videos for what compares them, in two frames in a row for FTS, in the made video and the reference for FIS."""
    shots = [
        observe(video, path, look, {"poses"}, keep=kept_beside(path), what="video")
        for video, path in ((real, real_path), (fake, fake_path))
    ]
    body = [shot.fields[BODY][:, 0] for shot in shots]
    row = {"akd_body": akd(body[1], body[0]), "mkr_body": mkr(body[1], body[0])}
    row |= {"plc": mean_known(plc(body[1], body[0]))}
    row |= {"flc": mean_known(flc(*(shot.fields[FACE][:, 0] for shot in reversed(shots))))}
    if face is None:
        return row
    true, made = (embedded(shot, face) for shot in shots)
    row["face_cos"] = mean_known(cosine(made, true))
    both = ~np.isnan(made + true).any(1)
    row["aed_face"] = aed(made[both], true[both]) if both.any() else math.nan
    row["fts"] = mean_known(cosine(made[1:], made[:-1]))
    if reference is not None:
        picture = observe(read_image(reference)[None], reference, look, {"poses"}, what="reference")
        row["fis"] = mean_known(cosine(made, np.broadcast_to(embedded(picture, face), made.shape)))
    return row


def embedded(shot: Shot, face: FaceNetwork) -> np.ndarray:
    """The embedding of every frame's face, nan where none is seen."""
    points = shot.fields[FACE][:, 0]
    there = seen(points)
    vectors = face.embed(aligned(shot.frames, points, face.side))
    return np.where(there[:, None], vectors, np.nan)


def mean_known(values: np.ndarray) -> float:
    """The mean of what is not nan; nan where nothing is."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else math.nan


def _finite(value: float) -> float | None:
    return round(float(value), 6) if math.isfinite(value) else None


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return round(float(np.mean(known)), 6) if known else None

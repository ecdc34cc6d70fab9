"""An evaluation as a person reads it: a table of metrics, and a sheet of pictures."""

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from jaxanim.media.images import contact_sheet, read_image, write_png
from jaxanim.metrics.video import align, number

COLUMNS = {
    "subject": lambda row: row["psnr_subject"],
    "static": lambda row: row["psnr_subject_static"],
    "gain": lambda row: _minus(row["psnr_subject"], row["psnr_subject_static"]),
    "wrong": lambda row: row.get("psnr_subject_wrong"),
    "margin": lambda row: _minus(row["psnr_subject"], row.get("psnr_subject_wrong")),
    "frame": lambda row: row["psnr"],
    "ssim": lambda row: row["ssim"],
    "s-ssim": lambda row: row["ssim_static"],
    "temporal": lambda row: row["temporal_error"],
    "still": lambda row: row["temporal_error_static"],
}
# Shown where there is any of it.
FURTHER_COLUMNS = {
    "L1": lambda row: row.get("l1"),
    "(static)       ": lambda row: row.get("l1_static"),
    "background": lambda row: row.get("psnr_background"),
    "(static)      ": lambda row: row.get("psnr_background_static"),
    "driver": lambda row: row.get("psnr_subject_driver"),
    "PLC": lambda row: row.get("plc"),
    "(static)    ": lambda row: row.get("plc_static"),
    "FIS": lambda row: row.get("fis"),
    "FTS": lambda row: row.get("fts"),
    "FLC": lambda row: row.get("flc"),
    "(static)     ": lambda row: row.get("flc_static"),
}
# Shown where the evaluation has measured faces.
FACE_COLUMNS = {
    "face-cos": lambda row: row.get("face_cos"),
    "(static)": lambda row: row.get("face_cos_static"),
    "mouth": lambda row: row.get("mouth_error"),
    "(static) ": lambda row: row.get("mouth_error_static"),
    "eyes": lambda row: row.get("eyes_error"),
    "(static)  ": lambda row: row.get("eyes_error_static"),
    "head": lambda row: row.get("head_error"),
    "(static)   ": lambda row: row.get("head_error_static"),
}
LEGEND = """\
subject, static, wrong: PSNR (dB) inside the true body mask, of the result, of the reference repeated, and of
the result from another identity's reference; gain, margin: subject minus static, subject minus wrong
frame, ssim: of the whole frame, s-ssim: of the reference repeated; temporal, still: error of the change between
frames (levels of 255), of the result and of the reference repeated"""
FURTHER_LEGEND = """
L1: of the whole frame, of pixels in [0, 1]; background: PSNR outside the true body mask; (static): each of the
reference repeated; driver: PSNR of the result against another identity that drives it, where the true body is: a
copy of its driver has more there than in subject; PLC: distance of body landmarks from the truth over the person's
height (see jaxanim.metrics.landmarks); FIS, FTS, FLC: see jaxanim.metrics.face"""
FACE_LEGEND = """
face-cos: cosine similarity of the result's and the true face's embedding; mouth, eyes, head: how far what the
face does, read from the result, is from the truth (see jaxanim.metrics.face; smaller is better); (static): the
same of the reference's own face"""


def results_table(rows: Mapping[str, Mapping[str, float | None]], label: str) -> str:
    """Metrics by name as text, a row each, with the columns that `legend` explains; `label` heads the names."""
    faces = any(column(row) is not None for row in rows.values() for column in FACE_COLUMNS.values())
    further = {
        name: column
        for name, column in FURTHER_COLUMNS.items()
        if any(column(row) is not None for row in rows.values())
    }
    columns = COLUMNS | further | (FACE_COLUMNS if faces else {})
    lines = [[name, *(number(column(row)) for column in columns.values())] for name, row in rows.items()]
    return align([[label, *columns], *lines])


def legend(rows: Mapping[str, Mapping[str, float | None]]) -> str:
    """What the columns of `results_table` mean."""
    further = any(column(row) is not None for row in rows.values() for column in FURTHER_COLUMNS.values())
    faces = any("face_cos" in row for row in rows.values())
    return LEGEND + (FURTHER_LEGEND if further else "") + (FACE_LEGEND if faces else "")


def write_strip(
    folder: str | os.PathLike,
    name: str,
    reference: UInt8[np.ndarray, "height width 3"],
    videos: Sequence[tuple[str, UInt8[np.ndarray, "frames height width 3"]]],
    columns: int = 4,
) -> None:
    """Writes a case's pictures: the reference, and evenly spaced frames of each video below it."""
    frames = len(videos[0][1])
    chosen = np.linspace(0, frames - 1, min(frames, columns)).round().astype(int)
    rows = [("reference", [reference]), *((label, video[chosen]) for label, video in videos)]
    write_png(_strip_path(folder, name), contact_sheet(rows))


def write_sheet(folder: str | os.PathLike, names: Iterable[str], across: int = 4) -> Path:
    """Puts the strips of several cases on one sheet, `across` beside each other; returns its path."""
    names = list(names)
    strips = [read_image(_strip_path(folder, name)) for name in names]
    rows = [slice(i, i + across) for i in range(0, len(names), across)]
    path = Path(folder) / "sheet.png"
    write_png(path, contact_sheet([(" ".join(names[row][:1]), strips[row]) for row in rows], gap=8))
    return path


def _strip_path(folder: str | os.PathLike, name: str) -> Path:
    return Path(folder) / "strips" / f"{name.replace('/', '-')}.png"


def _minus(a: float | None, b: float | None) -> float | None:
    return None if a is None or b is None else a - b

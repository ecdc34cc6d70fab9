"""DensePose's dumps, written by PyTorch with classes of the names that Detectron2's have."""

import sys
import types
from typing import NamedTuple

import chex
import numpy as np
import pytest
import torch

from jaxanim.convert.densepose_dump import labels_in_box, read_dump
from jaxanim.errors import InputError


class DensePoseChartResult(NamedTuple):
    labels: torch.Tensor
    uv: torch.Tensor


@pytest.fixture
def chart_result(monkeypatch):
    """The class under Detectron2's name while it is written; reading has no such module."""
    module = types.ModuleType("densepose.structures.chart_result")
    module.DensePoseChartResult = DensePoseChartResult
    for name in ("densepose", "densepose.structures"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(DensePoseChartResult, "__module__", module.__name__)


def person(x, y, part, score, name):
    labels = torch.full((6, 4), part, dtype=torch.uint8)
    labels[0] = 0
    box = torch.tensor([[x, y, x + 4.0, y + 6.0]])
    held = [DensePoseChartResult(labels, torch.zeros(2, 6, 4))]
    return {"file_name": name, "scores": torch.tensor([score]), "pred_boxes_XYXY": box, "pred_densepose": held}


@pytest.mark.usefixtures("chart_result")
def test_labels_lie_in_their_boxes_in_the_order_of_the_names(tmp_path):
    frames = [person(3.7, 2.2, 5, 0.9, "f/10.png"), person(-2.0, 15.0, 7, 0.9, "f/9.png")]
    frames.append({"file_name": "f/11.png", "scores": torch.zeros(0), "pred_boxes_XYXY": torch.zeros(0, 4)})
    torch.save(frames, tmp_path / "results.pkl")
    parts = read_dump(tmp_path / "results.pkl", (18, 12))
    expected = np.zeros((3, 18, 12), np.uint8)
    expected[0, 16:18, 0:2] = 7
    expected[1, 3:8, 3:7] = 5
    chex.assert_trees_all_equal(parts, expected)
    assert len(read_dump(tmp_path / "results.pkl", (18, 12), 2)) == 2


def test_torchscripts_segmentations_become_detectron2s_labels(tmp_path):
    rng = torch.Generator().manual_seed(0)
    coarse, fine = torch.randn(1, 2, 28, 28, generator=rng), torch.randn(1, 25, 28, 28, generator=rng)
    box = torch.tensor([[2.0, 3.0, 49.0, 38.0]])

    def large(maps):
        return torch.nn.functional.interpolate(maps, (35, 47), mode="bilinear", align_corners=False).argmax(1)[0]

    expected = (large(fine) * (large(coarse) > 0)).numpy()
    found = labels_in_box(coarse[0].numpy(), fine[0].numpy(), box[0].numpy())
    # Where two parts are equally likely to seven digits either may win.
    assert (found == expected).mean() > 0.999
    result = {"scores": torch.ones(1), "pred_boxes": box, "pred_densepose_coarse_segm": coarse,
              "pred_densepose_fine_segm": fine}  # fmt: skip
    torch.save([result], tmp_path / "dump.pt")
    parts = read_dump(tmp_path / "dump.pt", (60, 60))
    assert (parts[0, 3:38, 2:49] == expected).mean() > 0.999
    assert parts[0, 38:].max() == 0


class Runs:
    def __reduce__(self):
        return print, ("it ran",)


@pytest.mark.parametrize(
    "content", [[{"scores": Runs()}], {"a": torch.zeros(3)}, [], [{"pred_boxes": torch.ones(1, 4)}]]
)
def test_what_is_no_dump_is_refused_and_nothing_runs(content, tmp_path, capsys):
    torch.save(content, tmp_path / "dump.pt")
    with pytest.raises(InputError, match="DensePose dump"):
        read_dump(tmp_path / "dump.pt", (8, 8))
    assert "it ran" not in capsys.readouterr().out
    (tmp_path / "dump.pt").write_bytes(b"not a zip")
    with pytest.raises(InputError, match="DensePose dump"):
        read_dump(tmp_path / "dump.pt", (8, 8))

"""The skeleton videos and parts of puppets, drawn once, so that a training batch is a copy of rows."""

import dataclasses

import numpy as np

from jaxanim.cues.skeleton_drawing import draw_segments, segment_masks
from jaxanim.data.pipeline import Element, Source
from jaxanim.data.skeletons import SkeletonClips, graph_of
from jaxanim.systems.poseanything.parts import frame_shares, merge_segments, part_masks


@dataclasses.dataclass(frozen=True)
class DrawnSkeletons:
    """What PoseAnything sees of each clip's skeleton, no frame left out.

    Attributes:
      clips: whose skeletons.
      cell: (height, width) in pixels of a token.
      most, fewest: of parts and their pixels, see `merge_segments`.
      rendered: where `clips`' elements are read from, their own cache as a rule.

    Elements: "poses" uint8 [frames, height, width, 3], and "parts" float32 [frames, most, rows, columns], the share
    of each cell that lies in each of the parts of Eq. 6; parts that a clip has not are empty.
    """

    clips: SkeletonClips
    cell: tuple[int, int]
    most: int
    fewest: int
    rendered: Source = dataclasses.field(repr=False)

    version = 1

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, index: int) -> Element:
        clip, size = self.rendered[index], self.clips.size
        graph = graph_of(clip["points"], clip["kind"])
        segments = merge_segments(segment_masks(graph, size), self.most, self.fewest)
        shares = frame_shares(part_masks(segments, clip["mask"] > 0), self.cell)
        parts = np.zeros((len(shares), self.most, *shares.shape[2:]), np.float32)
        parts[:, : shares.shape[1]] = shares
        return {"poses": draw_segments(graph, size), "parts": parts}

"""Aligned faces of puppets, with who they are and what they do."""

import dataclasses

from jaxanim.cues.faces import aligned, seen, state
from jaxanim.data.pipeline import Element
from jaxanim.data.puppets import PuppetClips


@dataclasses.dataclass(frozen=True)
class FaceCrops:
    """The faces in `clips`, aligned by their true landmarks to pictures of `side` pixels.

    Elements hold "faces" uint8 [frames, side, side, 3], "state" float32 [frames, 4] (`jaxanim.cues.faces.state`)
    and "seen" bool [frames]; the element's index is the identity.
    """

    clips: PuppetClips
    side: int = 32

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, index: int) -> Element:
        clip = self.clips.clip(self.clips.seeds[0] + int(index))
        landmarks = clip.keypoints.face[:, 0]
        faces = aligned(clip.frames, landmarks, self.side)
        return {"faces": faces, "state": state(landmarks), "seen": seen(landmarks)}

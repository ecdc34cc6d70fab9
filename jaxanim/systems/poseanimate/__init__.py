"""PoseAnimate (arXiv 2404.13680): a character animated with nothing trained, by optimising text embeddings.

pata.py      the motion brought to the character's place and size, and led into (Sec. 3)
pacm.py      pose-aware embeddings: Eq. 6 and Algorithm 1
dcam.py      Eqs. 7 to 10: who attends to whom
masks.py     the character's masks from cross-attention maps (Sec. 3.4)
animate.py   from image, prompt and poses to frames (Fig. 2)
system.py    loading a base model, the call that the programs use
"""

from jaxanim.cues.driving import KEYPOINTS, Needs
from jaxanim.systems.base import Entry

SYSTEM = Entry(
    "poseanimate",
    "PoseAnimate",
    needs=Needs(
        cues=(KEYPOINTS,),
        still=(KEYPOINTS,),
        required=("prompt", "subject"),
        optional=("negative", "reference_mask"),
    ),
)

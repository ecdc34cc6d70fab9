"""MagicPose (arXiv 2311.12052): a person in an image re-posed by a skeleton, hands and facial landmarks.

config.py    every number of the system
denoise.py   Eq. 3 and the noise estimate of Eqs. 4 and 5
animate.py   guidance and long-video sampling
losses.py    Eqs. 4 and 5, and what learns in which stage
task.py      the stages as training tasks
system.py    trained parts over a base, the call that the programs use
"""

from jaxanim.cues.driving import OPENPOSE, Needs
from jaxanim.systems.base import Entry, Release

SYSTEM = Entry(
    "magicpose",
    "MagicPose",
    needs=Needs(cues=(OPENPOSE,)),
    release=Release(networks=frozenset({"appearance_encoder"})),
)

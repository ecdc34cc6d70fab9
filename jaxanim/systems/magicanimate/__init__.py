"""MagicAnimate (arXiv 2311.16498): a still character animated by a DensePose sequence.

config.py    every number of the system
denoise.py   Eqs. 1 to 4: appearance features, pose residuals, the noise estimate
animate.py   long-video sampling (Sec. 3.3)
losses.py    Eqs. 5 to 7: the two training stages and image-video joint training
task.py      the stages as training tasks
system.py    loading weights, the call that the programs use
"""

from jaxanim.cues.driving import DENSEPOSE, Needs
from jaxanim.systems.base import Entry, Release

RELEASE = Release(
    networks=frozenset({"controlnet", "appearance_encoder", "motion"}),
    folders=("densepose_controlnet", "appearance_encoder", "temporal_attention"),
    own_diffusion=True,
)
SYSTEM = Entry("magicanimate", "MagicAnimate", needs=Needs(cues=(DENSEPOSE,)), release=RELEASE)

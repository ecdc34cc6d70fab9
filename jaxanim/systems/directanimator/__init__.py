"""DirectAnimator (arXiv 2606.06903): a person in an image moved by the pixels of a driving video.

config.py    every number of the system
cues.py      the driving cue triplet: pose, face and location cue
fusion.py    Eqs. 1 to 3: the CueFusion block, and cross-attention in its place
network.py   CogVideoX with cues
losses.py    Eq. 4: Same2X
pairs.py     what the two stages learn from
task.py      the stages as training tasks
animate.py   sampling
system.py    the call that the programs use
"""

from jaxanim.cues.driving import VIDEO, Needs
from jaxanim.systems.base import Entry

SYSTEM = Entry("directanimator", "DirectAnimator", needs=Needs(cues=(VIDEO,), optional=("reference_mask",)))

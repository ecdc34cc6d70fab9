"""PoseAnything: a person, an animal or a thing in an image moved by any skeleton, on Wan2.2-TI2V-5B.

config.py          every number of the system
network.py         how the pose enters (Eqs. 3 to 5), and the velocity under it
parts.py           part masks (Eqs. 6 and 7)
matching.py        which part is which in later frames (Eqs. 8 and 11)
part_attention.py  part-aware cross-attention (Eq. 9), as in the paper and as released
guidance.py        subject and camera decoupled guidance (Eqs. 10 and 13 to 15)
camera.py          the camera in words, and its moving rectangle
sparse.py          which frames have a pose (App. F)
animate.py         matching, guidance and sampling
stages.py          what learns in which stage
drawn.py           skeletons and parts drawn once for them
task.py            the stages as training tasks
system.py          weights, the call that the programs use
together.py        one weights folder out of the converted release
"""

from jaxanim.cues.driving import GRAPH, Needs
from jaxanim.systems.base import Entry

SYSTEM = Entry(
    "poseanything",
    "PoseAnything",
    needs=Needs(
        cues=(GRAPH,), required=("prompt",), optional=("negative", "camera", "reference_mask"), first_frame=True
    ),
)

"""The sources of clips that trainings take: puppets, or a user's own videos."""

from jaxanim.data.folders import FolderClips
from jaxanim.data.puppets import PuppetClips
from jaxanim.data.skeletons import SkeletonClips, WithSkeletons

Clips = PuppetClips | FolderClips
VideoClips = Clips | SkeletonClips | WithSkeletons

"""The sources of clips that trainings take: puppets, a user's own videos, or a dataset of records."""

from jaxanim.data.folders import FolderClips
from jaxanim.data.puppets import PuppetClips
from jaxanim.data.records import RecordClips
from jaxanim.data.skeletons import SkeletonClips, WithSkeletons

Clips = PuppetClips | FolderClips | RecordClips
VideoClips = Clips | SkeletonClips | WithSkeletons

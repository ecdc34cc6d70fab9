"""The sources of clips that trainings take: puppets, or a user's own videos."""

from jaxanim.data.folders import FolderClips
from jaxanim.data.puppets import PuppetClips

Clips = PuppetClips | FolderClips

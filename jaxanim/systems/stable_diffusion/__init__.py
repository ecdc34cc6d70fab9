"""Stable Diffusion 1.5 itself: text to image, with ControlNet, and with AnimateDiff's motion modules to video.

These are the pipelines people know from elsewhere, so they are what a converted checkpoint is checked with first.

config.py    every number of the system
generate.py  prompts to latents to pixels, as pure functions
system.py    loading weights, the call that the program uses
"""

from jaxanim.systems.base import Entry

SYSTEM = Entry("stable_diffusion", "Stable Diffusion", needs=None)

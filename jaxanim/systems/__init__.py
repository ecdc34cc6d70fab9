"""The five published systems, each a composition of the shared layers."""

from jaxanim.systems.base import Defaults, System, cue, load, names

__all__ = ["Defaults", "System", "cue", "load", "names"]

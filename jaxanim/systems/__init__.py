"""The published systems, each a composition of the shared layers; a folder here is a system (`base.Entry`)."""

from jaxanim.systems.base import Memory, Sampling, System, entry, load, names

# What the program that animates takes where no system is named.
DEFAULT = "magicanimate"

__all__ = ["DEFAULT", "Memory", "Sampling", "System", "entry", "load", "names"]

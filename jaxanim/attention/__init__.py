"""Attention: one contract (`attention`), many kernels, and patterns that say who attends to whom."""

from jaxanim.attention.contract import attention, choose_kernel
from jaxanim.attention.merge import merge
from jaxanim.attention.patterns import cross, hybrid, spatial, temporal
from jaxanim.backend import compiling_for

__all__ = ["attention", "choose_kernel", "compiling_for", "cross", "hybrid", "merge", "spatial", "temporal"]

"""Attention: one contract (`attention`), many kernels, and patterns that say who attends to whom."""

from jaxanim.attention.contract import attention, choose_kernel, compiling_for
from jaxanim.attention.merge import merge
from jaxanim.attention.patterns import cross, hybrid, spatial, temporal

__all__ = ["attention", "choose_kernel", "compiling_for", "cross", "hybrid", "merge", "spatial", "temporal"]

"""Floating point operations of a computation as it is defined: what a device's use is measured by.

Matrix products and convolutions count, each multiplication and addition as one; the rest is left out, as is usual.
XLA's own count takes a loop's body once, sees nothing of Pallas kernels, and has whatever a program computes twice.
"""

import math
from collections.abc import Callable
from typing import Any

import jax
from jax.extend.core import ClosedJaxpr, Jaxpr

from jaxanim.backend import COUNTING, compiling_for


def model_flops(fn: Callable, *args: Any, **options: Any) -> int:
    """Operations of `fn(*args, **options)`, on one device or on all together; nothing is computed.

    Arguments may be `jax.ShapeDtypeStruct`s. Attention counts as its definition whatever the kernel, and what is
    computed again in a backward pass to save memory counts once. A loop of unknown length counts as one turn, a
    choice as its costliest branch.
    """
    with compiling_for(COUNTING):
        # A function of its own, for what JAX remembers of `fn` was traced for another backend.
        return count(jax.make_jaxpr(lambda *args: fn(*args, **options))(*args).jaxpr)


def count(jaxpr: Jaxpr) -> int:
    """Operations of a jaxpr."""
    return sum(_of_equation(equation) for equation in jaxpr.eqns)


def _of_equation(equation: Any) -> int:
    name, params = equation.primitive.name, equation.params
    if name == "dot_general":
        (contracted, _), _ = params["dimension_numbers"]
        shape = equation.invars[0].aval.shape
        return 2 * equation.outvars[0].aval.size * math.prod(shape[axis] for axis in contracted)
    if name == "conv_general_dilated":
        # [output features, input channels of a group, *window] as `rhs_spec` finds them.
        kernel, spec = equation.invars[1].aval, params["dimension_numbers"].rhs_spec
        reduced = kernel.size // kernel.shape[spec[0]]
        return 2 * equation.outvars[0].aval.size * reduced // params["batch_group_count"]
    if name == "pallas_call":
        raise ValueError("a Pallas kernel cannot be counted: trace the computation under `model_flops`")
    inner = [count(jaxpr) for jaxpr in _jaxprs(params)]
    if name == "cond":
        return max(inner)
    if name == "shard_map":  # the body is one device's part
        return sum(inner) * math.prod(params["mesh"].shape.values())
    return sum(inner) * (params["length"] if name == "scan" else 1)


def _jaxprs(params: dict[str, Any]) -> list[Jaxpr]:
    """The jaxprs that an equation calls."""
    found = []
    for value in params.values():
        for part in value if isinstance(value, (tuple, list)) else (value,):
            if isinstance(part, ClosedJaxpr):
                found.append(part.jaxpr)
            elif isinstance(part, Jaxpr):
                found.append(part)
    return found

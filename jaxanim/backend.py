"""Which kind of device a program is traced for."""

import contextlib
import contextvars

import jax

COUNTING = "counting"
"""In place of a backend: what is traced is never run, but has its operations counted (`jaxanim.flops`)."""

_target_backend: contextvars.ContextVar[str | None] = contextvars.ContextVar("target_backend", default=None)


@contextlib.contextmanager
def compiling_for(backend: str):
    """Calls traced in this context are meant for `backend`, whatever this process runs on.

    For compiling ahead of time, where a program for TPU is traced on a machine that has none: "auto" attention then
    chooses for the TPU, and "splash" may be asked for.
    """
    token = _target_backend.set(backend)
    try:
        yield
    finally:
        _target_backend.reset(token)


def target_backend() -> str:
    """The backend that calls are traced for: `compiling_for`'s, otherwise JAX's own."""
    return _target_backend.get() or jax.default_backend()


def counting() -> bool:
    """Whether operations are counted: everything is then computed as it is defined, and nothing twice."""
    return _target_backend.get() == COUNTING

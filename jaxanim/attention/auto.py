"""What "auto" chooses, and says once that it chose."""

from __future__ import annotations

import functools
import logging

from jaxanim.attention.kernel import Kernel, Request
from jaxanim.attention.kernels import KERNELS
from jaxanim.media.tell import tell

log = logging.getLogger(__name__)

CPU_BLOCKED_SCORES = 128 * 128
"""On CPU, `blocked` from so many scores (q_tokens * kv_tokens) of one head on; measured, tests/bench."""

FLASH_TOKENS = 1024
"""On TPU, `splash` from so many queries and keys on: shorter sequences pad to its blocks and gain nothing."""

SCORES_LIMIT = 2**28
"""On GPU and TPU, `blocked` rather than more scores than this (1 GiB of float32) held at once by `xla`."""


def automatic(request: Request) -> Kernel:
    """The kernel for the request: the backend's own where it can, otherwise `blocked` or `xla`."""
    name = next(name for name in _preferences(request) if KERNELS[name].objection(request) is None)
    if (name, request.backend) == ("blocked", "gpu"):
        reason = KERNELS["cudnn"].objection(request)
        tell(f"attention is done by 'blocked', ten times slower on a GPU than 'cudnn', which is left out: {reason}")
    _log_choice(name, request.backend, request.q.shape, request.k.shape, str(request.q.dtype), request.features)
    return KERNELS[name]


def _preferences(request: Request) -> list[str]:
    long = min(request.q_tokens, request.kv_tokens) >= FLASH_TOKENS
    match request.backend:
        case "cpu":
            fused, by_blocks = [], request.q_tokens * request.kv_tokens >= CPU_BLOCKED_SCORES
        case "tpu":
            fused, by_blocks = ["splash"] if long else [], request.scores > SCORES_LIMIT
        case _:
            fused, by_blocks = ["cudnn"], request.scores > SCORES_LIMIT
    return fused + (["blocked"] if by_blocks else []) + ["xla"]


@functools.cache
def _log_choice(name, backend, q_shape, k_shape, dtype, features):
    """Cached, so that each choice is logged once."""
    extras = f" with {', '.join(sorted(features))}" if features else ""
    log.info("attention kernel %r on %s for q %s, k %s, %s%s", name, backend, q_shape, k_shape, dtype, extras)

"""The Pose-Aware Control Module (PACM, Sec. 3.2): text embeddings optimised, one for every timestep and frame,
until sampling under a pose leads where the inversion of the source image came from.

A network's prediction is a function (x, t, text, pose) of frames side by side, ControlNet included:
`Predict`. Every function here works on all frames at once, and equals itself on one frame at a time. Latents,
embeddings, Adam's moments and the loss are float32, whatever the networks compute in.
"""

import dataclasses
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from einops import repeat
from jax.sharding import NamedSharding, PartitionSpec
from jax.tree_util import Partial
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int, PyTree

from jaxanim.chunks import map_chunks
from jaxanim.diffusion.ddim import DDIM
from jaxanim.diffusion.inversion import Inversion
from jaxanim.diffusion.preview import Report
from jaxanim.diffusion.process import Process, x0_eps
from jaxanim.diffusion.sample import sample
from jaxanim.errors import InputError
from jaxanim.training.sharding import make_mesh

Latents = Float[Array, "frames 1 height width channels"]
Text = Float[Array, "frames length dim"]
Poses = Float[Array, "frames 1 height width features"]
Predict = Callable[[Latents, Any, Text, Poses], tuple[Latents, PyTree]]
"""(x, t, text, pose) -> what the process's network predicts, and whatever else it saw, with frames first."""


@dataclasses.dataclass(frozen=True)
class Optimisation:
    """How embeddings are optimised.

    Attributes:
      inner_steps: n, updates by Adam at every timestep.
      learning_rate: eta at the first timestep; it falls linearly to half of that at the last, as in null-text
        inversion (Mokady et al. 2023), since the paper names none.
      early_stop: a frame's updates at a timestep end where its loss falls below this, plus twice as much for each
        step taken (null-text inversion's rule with 1e-5); None for all updates, as in the paper.
      enters: where the embedding goes in guidance, see `towards`.
    """

    inner_steps: int = 5
    learning_rate: float = 1e-2
    early_stop: float | None = None
    enters: Literal["unconditional", "conditional"] = "unconditional"

    def __post_init__(self):
        if self.inner_steps < 0:
            raise InputError(f"inner_steps is {self.inner_steps}: it must be 0 or more")
        if self.enters not in ("unconditional", "conditional"):
            raise InputError(f"enters is {self.enters!r}: choose 'unconditional' or 'conditional'")


class Optimised(NamedTuple):
    """What an optimisation leads to.

    embeddings: one per timestep, in the sampler's order, and frame. latents: x_0 of each frame, sampled with them.
    seen: the second result of `Predict` for the prompt's own branch, the mean over timesteps.
    """

    embeddings: Float[Array, "steps frames length dim"]
    latents: Latents
    seen: PyTree


def towards(enters: str, scale: float | Float[Array, ""]) -> float | Float[Array, ""]:
    """How far classifier-free guidance of a scale goes from the branch of the optimised embedding to the constant
    one: the estimate is embedded + towards * (constant - embedded).

    Fig. 2 feeds the optimised embedding as the "unconditional embedding for input", Eq. 6 samples with the prompt C
    beside it, and it begins as the prompt's own: "unconditional" is embedded + scale (constant - embedded) with the
    prompt's prediction as `constant`. It begins as the prompt's prediction at scale 1, where DDIM inversion holds.
    "conditional" is the other reading, constant + scale (embedded - constant) with the empty prompt's prediction as
    `constant`.
    """
    return scale if enters == "unconditional" else 1 - scale


def invert(
    predict: Predict,
    process: Process,
    z0: Float[Array, "height width channels"],
    text: Float[Array, "length dim"],
    pose: Float[Array, "height width features"],
    steps: int,
    report: Report | None = None,
) -> Float[Array, "steps_1 height width channels"]:
    """Z_0 ... Z_T by DDIM inversion at guidance scale 1, under the source pose (Algorithm 1, line 1)."""
    denoise = Partial(_alone, predict, text[None], pose[None, None])
    backwards = {"solver": Inversion(), "trajectory": True, "report": report}
    return sample(denoise, process, z0[None, None].astype(jnp.float32), steps=steps, **backwards)[:, 0, 0]


def _alone(predict, text, pose, x, step):
    return predict(x, step.t, text, pose)[0]


def optimise(
    predict: Predict,
    process: Process,
    trajectory: Float[Array, "steps_1 height width channels"],
    constant: Float[Array, "length dim"],
    start: Float[Array, "#steps length dim"],
    poses: Float[Array, "frames height width features"],
    *,
    guidance: float,
    optimisation: Optimisation = Optimisation(),
    frames_at_once: int | None = None,
    devices: Sequence[jax.Device] | None = None,
    report: Report | None = None,
) -> Optimised:
    """Pose-aware embeddings of frames under their poses.

    With one embedding as `start` this is pose-aware inversion (Eq. 6), in which each timestep goes on from the
    embedding of the one before; with one for every timestep it is the loop of Algorithm 1 (lines 3 to 9). At every
    timestep the embedding of each frame descends the mean square between Z_{t-1} and the DDIM step from the frame's
    own z_t. What does not depend on the embedding, the constant branch of guidance, is computed once per timestep.

    Args:
      predict: a `jax.tree_util.Partial` that holds the parameters, so that they are no constants of the program.
      trajectory: Z_0 ... Z_T, from `invert`.
      constant: embedding of guidance's other branch, see `towards`.
      frames_at_once: frames that a device optimises side by side; None is all of its own. Fewer need less memory,
        the result is the same.
      devices: what frames are spread over, each with its share of them and a copy of the parameters; None is where
        the arguments lie.
      report: called as report(timesteps done, timesteps in all, None).
    """
    steps, frames = len(trajectory) - 1, len(poses)
    table = DDIM().plan(process.walk(steps))
    stop = -np.inf if optimisation.early_stop is None else optimisation.early_stop
    rates = optimisation.learning_rate * (1 - np.arange(steps) / (2 * steps))
    descents = Descent(np.full(steps, optimisation.inner_steps), rates, stop * (1 + 2 * np.arange(steps)))
    table, descents = jax.tree.map(
        lambda a: a.astype(np.float32) if a.dtype == np.float64 else a, (table, descents)
    )
    given, (trajectory, constant, start) = trajectory, _float32((trajectory, constant, start))
    z, first = (repeat(a, "... -> frames ...", frames=frames) for a in (trajectory[-1][None], start[0]))
    goes_on = np.full(steps, len(start) == 1)
    start = jnp.broadcast_to(start, (steps, *start.shape[1:]))
    inputs = table, descents, trajectory[-2::-1], start, goes_on
    enters, scale = optimisation.enters, jnp.float32(towards(optimisation.enters, guidance))
    shared, own = (predict, constant, scale, np.bool_(enters == "unconditional")), ((z, first), poses[:, None])
    mesh = None if devices is None or min(len(devices), frames) == 1 else make_mesh(devices=devices[:frames])
    if mesh is not None:
        shared, inputs = jax.device_put((shared, inputs), NamedSharding(mesh, PartitionSpec()))
        own = jax.device_put(jax.tree.map(lambda a: _filled(a, mesh.size), own), NamedSharding(mesh, FRAMES))
    (state, poses), found, size = own, [], steps if report is None else 1
    for begin in range(0, steps, size):
        some = jax.tree.map(lambda a, k=begin: a[k : k + size], inputs)
        state, seen = _stretch(process.prediction_type, frames_at_once, mesh, shared, some, (state, poses))
        found.append(seen)
        if report is not None:
            jax.block_until_ready(state)
            report(begin + size, steps, None)
    embeddings, seen = jax.tree.map(lambda *parts: jnp.concatenate(parts, axis=1), *found)
    result = Optimised(jnp.swapaxes(embeddings, 0, 1), state[0], jax.tree.map(lambda a: a.mean(1), seen))
    if mesh is None:
        return result
    result = Optimised(result.embeddings[:, :frames], *jax.tree.map(lambda a: a[:frames], result[1:]))
    return jax.device_put(result, given.sharding)


FRAMES = PartitionSpec(("data",))
"""Where frames lie on a mesh: cut along their first axis."""


def _float32(tree: PyTree) -> PyTree:
    return jax.tree.map(lambda a: a.astype(jnp.float32), tree)


def _filled(entries: Float[Array, "frames *rest"], multiple: int) -> Float[Array, "filled *rest"]:
    """The last entry again, until there is a multiple."""
    return jnp.pad(entries, [(0, -len(entries) % multiple)] + [(0, 0)] * (entries.ndim - 1), mode="edge")


@partial(jax.jit, static_argnums=(0, 1, 2))
def _stretch(prediction_type, frames_at_once, mesh, shared, inputs, entries):
    """Some timesteps from a state (z, embedding) on: the new one, and (embeddings, seen) [frames, steps, ...]."""

    def walk(shared, inputs, entries):
        return map_chunks(partial(_walk, prediction_type, *shared, inputs), entries, frames_at_once)

    if mesh is None:
        return walk(shared, inputs, entries)
    everywhere = PartitionSpec()
    specs = {"in_specs": (everywhere, everywhere, FRAMES), "out_specs": FRAMES}
    return jax.shard_map(walk, mesh=mesh, check_vma=False, **specs)(shared, inputs, entries)


def _walk(prediction_type, predict, constant, scale, sees_constant, inputs, entries):
    """`_stretch` of some frames side by side."""
    state, poses = entries
    prompt = jnp.broadcast_to(constant, state[1].shape)

    def body(state, inputs):
        z, last = state
        step, descent, target, initial, goes_on = inputs
        other, told = predict(z, step.t, prompt, poses)
        other = other.astype(jnp.float32)

        def forward(embedding):
            embedded, seen = predict(z, step.t, embedding, poses)
            embedded = embedded.astype(jnp.float32)
            output = embedded + scale * (other - embedded)
            x0, eps = x0_eps(prediction_type, output, z, step.signal, step.noise)
            return DDIM().step(step, z, x0, eps, None)[0], seen

        embedding = descend(forward, target, jnp.where(goes_on, last, initial), descent)
        z, seen = forward(embedding)
        # The maps of the prompt's own branch.
        seen = jax.tree.map(partial(jnp.where, sees_constant), told, seen)
        return (z, embedding), (embedding, seen)

    state, found = jax.lax.scan(body, state, inputs)
    return state, jax.tree.map(lambda a: jnp.swapaxes(a, 0, 1), found)


class Descent(NamedTuple):
    """An optimisation's numbers at one timestep; a frame whose loss is below `enough` has had its updates."""

    inner_steps: Int[ArrayLike, "*steps"]
    learning_rate: Float[ArrayLike, "*steps"]
    enough: Float[ArrayLike, "*steps"]


def descend(
    forward: Callable[[Text], tuple[Latents, PyTree]],
    target: Float[Array, "height width channels"],
    embedding: Text,
    descent: Descent,
) -> Text:
    """Updates of each frame's embedding by Adam (Kingma and Ba 2015) from a fresh state. The gradient is the
    embedding's alone."""
    adam = optax.scale_by_adam()

    def losses(embedding):
        error = jnp.square(forward(embedding)[0] - target)
        each = error.mean(axis=tuple(range(1, error.ndim)))
        return each.sum(), each

    def update(state):
        n, embedding, moments, active = state
        gradient, each = jax.grad(losses, has_aux=True)(embedding)
        change, moments = adam.update(gradient, moments)
        moved = jnp.where(active[:, None, None], embedding - descent.learning_rate * change, embedding)
        return n + 1, moved, moments, active & (each >= descent.enough)

    def more(state):
        n, _, _, active = state
        return (n < descent.inner_steps) & active.any()

    state = jnp.int32(0), embedding, adam.init(embedding), jnp.ones(len(embedding), bool)
    return jax.lax.while_loop(more, update, state)[1]

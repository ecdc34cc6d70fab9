"""PoseAnything's sampler: parts matched at high noise, guidance that keeps subject and camera apart, Euler's steps
with the first latent frame put back after each."""

import dataclasses
from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from jaxtyping import Array, Float, PyTree, UInt8

from jaxanim.diffusion.guidance import guided
from jaxanim.diffusion.preview import previewed
from jaxanim.diffusion.sample import sample
from jaxanim.models.wan.video import to_latents, to_pixels
from jaxanim.systems.base import Memory, Report, Sampling
from jaxanim.systems.poseanything.config import PoseAnythingConfig
from jaxanim.systems.poseanything.guidance import anchors, superposed
from jaxanim.systems.poseanything.matching import attention_weight, match, matched_ids, matched_masks
from jaxanim.systems.poseanything.network import velocity
from jaxanim.systems.poseanything.parts import NO_PART, exclusive_ids, grid_shares

Poses = UInt8[np.ndarray, "frames height width 3"]
Shares = Float[np.ndarray, "latents segments rows columns"]


@dataclasses.dataclass(frozen=True)
class Options:
    """What can be left out of sampling or done otherwise than as released.

    Attributes:
      parts: which tokens of later frames attend to which of the first: those of parts "matched" by attention
        (Eq. 8), of parts of the same "named" segment, the "whole" subject's to the whole subject's (Table 3's EC),
        or "none".
      part_t: the part module runs at steps whose t is greater; as far as parts are matched if not said.
      dilation: iterations by which segments grow to parts; if not said, until they cover the reference's mask, or
        without a mask a sixteenth of the shorter side.
      pose_share: the share of frames whose poses are given (Table 5).
      camera_scale: how strongly the camera is controlled (s_c of Eq. 13).
      decoupling: the camera in Eq. 13's "superposed" guidance, or as Eq. 10's negative of two "anchors".
    """

    parts: Literal["matched", "named", "whole", "none"] = "matched"
    part_t: float | None = None
    dilation: int | None = None
    pose_share: float = 1.0
    camera_scale: float = 1.0
    decoupling: Literal["superposed", "anchors"] = "superposed"


@dataclasses.dataclass(frozen=True)
class Motion:
    """What moves, and how: pictures in the pixels of the video.

    Attributes:
      poses: the skeleton video, black where a frame has no pose.
      masks: the parts m_ij of each frame, 1 or 0; None does without the part module.
      camera: the rectangle of the negative anchor; None leaves the camera to the prompt.
    """

    poses: Poses
    masks: UInt8[np.ndarray, "frames segments height width"] | None = None
    camera: Poses | None = None


def animate(
    params: PyTree,
    config: PoseAnythingConfig,
    reference: Float[Array, "height width 3"],
    motion: Motion,
    text: Float[Array, "two tokens text"],
    *,
    key: jax.Array,
    sampling: Sampling,
    options: Options = Options(),
    memory: Memory = Memory(),
    report: Report | None = None,
) -> Float[Array, "frames height width 3"]:
    """Moves a reference image by a skeleton video.

    Args:
      reference: in [-1, 1]; it is the first frame.
      text: embeddings of the prompt and of the negative one.
      key: random key of the noise.
      sampling: steps and guidance. Guidance 1, as released, does without a negative anchor; above, the anchor is
      the
        first pose in every frame that has one (App. G), with the negative prompt. With a camera, guidance is s_s.
      report: called as `Report` says.

    Returns:
      Frames in [-1, 1], as many as the motion has.
    """
    z_i = _encode(params, config, reference[None])
    report = previewed(report, z_i[0], reference)
    z_p = _encode(params, config, _signed(motion.poses))
    noise = jax.random.normal(key, z_p.shape).at[:1].set(z_i)
    mode, conditions, scales = _guidance(params, config, motion, z_p, text, sampling, options)
    steps, total = _part_steps(config, sampling, options, motion), sampling.steps
    parts, looked = None, 0
    # The first frame is put back after each step (TI2V).
    run: dict[str, Any] = {"steps": total, "between": Partial(_first_frame, z_i)}

    def denoise(parts):
        estimate = _Denoise(config, mode, memory.guidance_in_turn)
        return Partial(estimate, params, conditions, scales, parts)

    if steps:
        shares = grid_shares(motion.masks, _grid(config, z_p), config.vae.frames_per_latent)
        weight = None
        if options.parts == "matched":
            looked = _matched_at(config, total)
            x = noise
            if looked:
                told = _told(report, 0, looked + total)
                x = sample(denoise(None), config.diffusion, noise, only=slice(0, looked), report=told, **run)
            t = jnp.asarray(config.diffusion.walk(total).t[looked], jnp.float32)
            weight = np.asarray(_look(config, params, x, t, conditions[-1], jnp.asarray(shares > 0)))
        parts = jnp.asarray(token_parts(config.rules.part_form, options.parts, shares, weight))[None]
        told = _told(report, looked, looked + total)
        noise = sample(denoise(parts), config.diffusion, noise, only=slice(0, steps), report=told, **run)
    told = _told(report, looked + steps, looked + total)
    latents = sample(denoise(None), config.diffusion, noise, only=slice(steps, None), report=told, **run)
    return _decode(params, config, memory.frames_at_once, latents)


def token_parts(form: str, which: str, shares: Shares, weight: np.ndarray | None = None) -> np.ndarray:
    """The parts of a video's tokens as the part module takes them: ids or masks, see `part_attention`.

    Args:
      which: of Options.parts.
      shares: from `grid_shares`. weight: from `attention_weight`, for "matched" parts.
    """
    masks = shares > 0
    if which == "whole":
        masks = masks.any(1, keepdims=True)
    found = None if which != "matched" else match(weight)
    if form == "released":
        return (masks if found is None else matched_masks(masks, found)).swapaxes(0, 1)
    ids = exclusive_ids(shares)
    if which == "whole":
        ids = np.where(ids == NO_PART, NO_PART, 0).astype(np.int32)
    elif found is not None:
        ids = matched_ids(ids, weight, found)
    # A part that the first frame lacks has nothing to attend to.
    return np.where(np.isin(ids, ids[0]), ids, NO_PART)


def _guidance(params, config, motion, z_p, text, sampling, options):
    """(mode, conditions, scales): a condition is pose latents and text, that of the subject the last."""
    subject, scale = (z_p, text[0]), jnp.asarray(sampling.guidance, jnp.float32)
    if motion.camera is not None and options.camera_scale > 0:
        camera = (_encode(params, config, _signed(motion.camera)), text[0])
        strength = jnp.asarray(options.camera_scale, jnp.float32)
        if options.decoupling == "anchors":
            # subject + s_c (subject - camera), which is Eq. 10 with s = 1 + s_c.
            return "anchors", (camera, subject), (1 + strength,)
        empty = (_encode(params, config, _signed(np.zeros_like(motion.poses))), text[0])
        return "superposed", (empty, camera, subject), (scale, strength)
    if sampling.guidance == 1:
        return "plain", (subject,), ()
    posed = motion.poses.any((1, 2, 3))
    still = np.where(posed[:, None, None, None], motion.poses[np.argmax(posed)], 0).astype(np.uint8)
    return "guided", ((_encode(params, config, _signed(still)), text[1]), subject), (scale,)


@dataclasses.dataclass(frozen=True)
class _Denoise:
    """The guided velocity; hashable, so that equal calls share one compiled program."""

    config: PoseAnythingConfig
    mode: str
    in_turn: bool

    def __call__(self, params, conditions, scales, parts, x, step):
        def predict(chosen):
            poses, texts = (jnp.stack(kind) for kind in zip(*chosen, strict=True))
            rows = len(chosen)
            z, t = jnp.broadcast_to(x, (rows, *x.shape)), jnp.broadcast_to(step.t, (rows,))
            return velocity(params, self.config, z, t, texts, poses, parts)

        if self.mode == "plain":
            return predict(conditions)[0]
        if self.mode == "superposed":
            empty, camera, subject = conditions
            return superposed(predict, empty, subject, camera, *scales, in_turn=self.in_turn)[0]
        if self.mode == "anchors":
            camera, subject = conditions
            return anchors(predict, subject, camera, *scales, in_turn=self.in_turn)[0]
        return guided(predict, *conditions, *scales, in_turn=self.in_turn)[0]


def _part_steps(config: PoseAnythingConfig, sampling: Sampling, options: Options, motion: Motion) -> int:
    """How many of the first steps the part module runs in."""
    if options.parts == "none" or motion.masks is None or not config.transformer.part_attention:
        return 0
    least = config.rules.match_t if options.part_t is None else options.part_t
    return int((config.diffusion.walk(sampling.steps).t > least).sum())


def _matched_at(config: PoseAnythingConfig, steps: int) -> int:
    """The step at whose beginning parts are matched: the last at which t is above `match_t`."""
    return max(0, int((config.diffusion.walk(steps).t > config.rules.match_t).sum()) - 1)


@partial(jax.jit, static_argnums=0)
def _look(config, params, x, t, condition, masks):
    """attn_weight of Eq. 8 at latents x, under the subject's condition; masks [latents, segments, rows, columns]"""
    pose, text = condition
    _, (q, k) = velocity(
        params, config, x[None], t[None], text[None], pose[None], hand_out=config.rules.match_block
    )
    masks = masks.reshape(*masks.shape[:2], -1)
    return attention_weight(q[0], k[0], masks[0], masks)


def _first_frame(z_i, x, step):
    return x.at[:1].set(z_i)


def _grid(config: PoseAnythingConfig, latents: Array) -> tuple[int, int, int]:
    frames, height, width = latents.shape[:3]
    _, rows, columns = config.transformer.patch_size
    return frames, height // rows, width // columns


def _encode(params, config, pixels):
    return to_latents(params["vae"], config.vae, jnp.asarray(pixels, jnp.float32)[None])[0]


def _decode(params, config, frames_at_once, latents):
    pixels = to_pixels(params["vae"], config.vae, latents[None], frames_at_once=frames_at_once)[0]
    return jnp.clip(pixels.astype(jnp.float32), -1, 1)


def _signed(pictures: np.ndarray) -> np.ndarray:
    return pictures.astype(np.float32) / 127.5 - 1


def _told(report: Report | None, done: int, total: int) -> Report | None:
    """`report` for a stretch of the steps that begins after `done`."""
    return None if report is None else lambda now, _, x0: report(done + now, total, x0)

"""PoseAnimate's way from an image, a prompt and poses to a video (Fig. 2)."""

import dataclasses
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from jaxtyping import Array, Float, PyTree

from jaxanim.attention.patterns import Patterns
from jaxanim.cues import openpose
from jaxanim.cues.openpose import Keypoints
from jaxanim.diffusion.preview import previewed
from jaxanim.diffusion.sample import sample
from jaxanim.errors import InputError
from jaxanim.systems.base import InputFile, Memory, OutputFile, Report, Sampling, unit
from jaxanim.systems.conditions import decode, encode_inputs
from jaxanim.systems.poseanimate.dcam import LAMBDAS, dual_consistency_pattern
from jaxanim.systems.poseanimate.denoise import Denoise, Predict
from jaxanim.systems.poseanimate.kept import MadeWith, Source, read_source, write_source
from jaxanim.systems.poseanimate.masks import character_masks, silhouettes
from jaxanim.systems.poseanimate.pacm import Optimisation, invert, optimise
from jaxanim.systems.poseanimate.pata import pata
from jaxanim.systems.stable_diffusion.config import StableDiffusionConfig

OPTIMISED = ("pose_aware", "null_text")
"""The inversions that optimise embeddings."""


@dataclasses.dataclass(frozen=True)
class Options:
    """PoseAnimate's own choices and ablations.

    Attributes:
      inversion: how the source is held: "pose_aware" is PACM; "null_text" optimises the empty prompt's embedding
        for the source alone (Mokady et al. 2023); "negative_prompt" optimises nothing and guides at scale 1 in
        effect (Miyake et al. 2023); "direct" optimises nothing and sets the source's latents right after every
        step (Ju et al. 2024); "none" is DDIM inversion and guidance alone.
      dcam: dual consistency attention in the up blocks (Sec. 3.3); without it every frame is by itself.
      mgdm: the character and the background attend each to their own (Sec. 3.4); needs dcam.
      pata: align the motion to the source and lead into it (Sec. 3); without it poses are drawn as they come.
      transition: t, intermediate poses between the source's and the motion's first.
      lead_in: return the source's frame and the transition too, before the motion's frames.
      limb_lengths: give the motion the limb lengths of the source.
      enters: where the optimised embedding goes in guidance; "unconditional" as in Fig. 2, or "conditional".
      inner_steps: updates of an embedding at each timestep.
      learning_rate: of these updates at the first timestep.
      early_stop: end a frame's updates at a timestep where its loss is below this, null-text inversion has 1e-5.
      lambda_first: share of the source's frame in dual consistency attention, lambda_1 of Eq. 8.
      lambda_before: share of the frame before, lambda_2; the frame itself has the rest.
      outside: keys of the other part are "zeroed" as in Eq. 9, or "left_out" of the softmax.
      masks: where the character is in each frame, out of the "attention" to the subject's words as in the paper, or
        around the "pose", for networks that know too little of the word.
      mask_threshold: of the cross-attention maps' range, above which a place is the character's.
      optimise_at_once: frames that a device optimises side by side; all of its own by default, fewer need less
        memory.
      remat: what the gradient computes again in place of keeping it: "none" of the networks' activations; all but
        the "products", which are convolutions' and matrix products' results; or all but the inputs of "blocks".
      devices: how many the frames' optimisation is spread over; all that there are by default.
      embeddings: file of the source's inversion and optimised embeddings to begin with, from an earlier run on the
        same picture and prompt with any motion.
      save_embeddings: where to write that file.
    """

    inversion: Literal["pose_aware", "null_text", "negative_prompt", "direct", "none"] = "pose_aware"
    dcam: bool = True
    mgdm: bool = True
    pata: bool = True
    transition: int = 4
    lead_in: bool = False
    limb_lengths: bool = False
    enters: Literal["unconditional", "conditional"] = "unconditional"
    inner_steps: int = 5
    learning_rate: float = 1e-2
    early_stop: float | None = None
    lambda_first: float = LAMBDAS[0]
    lambda_before: float = LAMBDAS[1]
    outside: Literal["zeroed", "left_out"] = "zeroed"
    masks: Literal["attention", "pose"] = "attention"
    mask_threshold: float = 0.3
    optimise_at_once: int | None = None
    remat: Literal["none", "products", "blocks"] = "none"
    devices: int | None = None
    embeddings: InputFile | None = None
    save_embeddings: OutputFile | None = None

    def __post_init__(self):
        if self.transition < 0:
            raise InputError(f"transition is {self.transition}: it must be 0 or more")
        shares = (self.lambda_first, self.lambda_before, 1 - self.lambda_first - self.lambda_before)
        if min(shares) < -1e-9:
            raise InputError(
                f"lambda_first is {self.lambda_first} and lambda_before {self.lambda_before}: give shares that "
                "leave 0 or more to the frame itself"
            )
        if not 0 < self.mask_threshold < 1:
            raise InputError(f"mask_threshold is {self.mask_threshold}: it must be between 0 and 1")
        if self.optimise_at_once is not None and self.optimise_at_once < 1:
            raise InputError(f"optimise_at_once is {self.optimise_at_once}: it must be 1 or more")
        there = jax.local_device_count()
        if self.devices is not None and not 1 <= self.devices <= there:
            raise InputError(f"devices is {self.devices}: this machine has {there}, and 1 or more are needed")
        if self.inversion not in OPTIMISED and (self.embeddings or self.save_embeddings):
            raise InputError(
                f"inversion is {self.inversion!r}, which optimises no embeddings to save or begin with; "
                f"{' and '.join(OPTIMISED)} do"
            )
        Optimisation(self.inner_steps, self.learning_rate, self.early_stop, self.enters)  # refuses its numbers

    @property
    def optimisation(self) -> Optimisation:
        """How embeddings are optimised."""
        enters = "unconditional" if self.inversion == "null_text" else self.enters
        return Optimisation(self.inner_steps, self.learning_rate, self.early_stop, enters)

    @property
    def lambdas(self) -> tuple[float, float, float]:
        """lambda_1, lambda_2, lambda_3."""
        return self.lambda_first, self.lambda_before, 1 - self.lambda_first - self.lambda_before


class Prompts(NamedTuple):
    """Embedded text, [length, dim] each, and 1 for the tokens of the subject's words [length]."""

    prompt: Float[Array, "length dim"]
    empty: Float[Array, "length dim"]
    subject: Float[Array, " length"]


class Held(NamedTuple):
    """What sampling is given of the source and the frames, frame 0 being the source.

    trajectory: Z_0 ... Z_T. embeddings: for each timestep and frame. masks: of the character, at the latents' size.
    """

    trajectory: Float[Array, "steps_1 height width channels"]
    embeddings: Float[Array, "steps frames length dim"]
    masks: Float[Array, "frames height width"]


def pose_sequence(source: Keypoints, motion: Keypoints, options: Options) -> Keypoints:
    """The source's pose, the transition's and the motion's."""
    if options.pata:
        motion = pata(source, motion, options.transition, limb_lengths=options.limb_lengths)
    return Keypoints(
        *(np.concatenate([getattr(k, name) for k in (source, motion)]) for name in ("body", "hands", "face"))
    )


def animate(
    params: PyTree,
    config: StableDiffusionConfig,
    prompts: Prompts,
    reference: Float[Array, "height width 3"],
    source: Keypoints,
    motion: Keypoints,
    *,
    mask: Float[Array, "height width"] | None = None,
    sampling: Sampling,
    options: Options,
    memory: Memory,
    report: Report | None = None,
) -> Float[Array, "frames height width 3"]:
    """Moves the character of an image by poses, with nothing trained.

    Nothing is random: the noise is the inversion's.

    Args:
      reference: I_s, in [-1, 1].
      source: the pose in it; `motion`: the poses to take, M frames. Both of one person, in the reference's pixels.
      mask: M_s, 1 where the character is; None finds it as `options.masks` says.
      report: called as `Report` says; a step is a timestep of any phase.

    Returns:
      Frames in [-1, 1], as many as `motion` has; with `options.lead_in` 1 + t more before them.
    """
    frames = len(motion.body)
    poses = pose_sequence(source, motion, options)
    drawn = unit(openpose.draw(poses, reference.shape[:2]))
    z0, pose = encode_inputs(config, params, reference, drawn)
    z0 = z0.astype(jnp.float32)
    report = previewed(report, z0, reference)
    known = None if mask is None else mask[None]
    if options.mgdm and options.masks == "pose":
        around = jnp.asarray(silhouettes(poses, reference.shape[:2]), jnp.float32)
        known = around if mask is None else around.at[0].set(mask)
    held = hold(params, config, prompts, z0, pose, known, sampling, options, report)
    latents = sample_latents(params, config, prompts, pose, held, sampling, options, memory, report)
    pixels = decode(config, memory.frames_at_once, memory.vae_tile, params["vae"], latents)
    return pixels if options.lead_in else pixels[-frames:]


def hold(
    params: PyTree,
    config: StableDiffusionConfig,
    prompts: Prompts,
    z0: Float[Array, "h w channels"],
    pose: Float[Array, "frames h w features"],
    known: Float[Array, "known height width"] | None,
    sampling: Sampling,
    options: Options,
    report: Report | None = None,
) -> Held:
    """The source's inversion and every frame's embeddings and mask (Algorithm 1, and the comparisons with it).

    Args:
      known: masks of the first frames; the other frames' are read from the cross-attention maps.
    """
    process, steps = config.diffusion, sampling.steps
    networks = {name: params[name] for name in ("unet", "controlnet")}
    predict = Partial(Predict(config, options.remat), networks, prompts.subject)
    optimisation = options.optimisation
    text = prompts.prompt if options.inversion in ("pose_aware", "negative_prompt") else prompts.empty
    constant = prompts.prompt if optimisation.enters == "unconditional" else prompts.empty
    if options.inversion not in OPTIMISED:
        optimisation = dataclasses.replace(optimisation, inner_steps=0)
    chosen = {"guidance": sampling.guidance, "optimisation": optimisation}
    made_with = MadeWith(z0, text, constant, jnp.float32(sampling.guidance))
    if options.embeddings is None:
        trajectory = invert(predict, process, z0, prompts.prompt, pose[0], steps, _phase(report, 0, steps))
        own = optimise(
            predict, process, trajectory, constant, text[None], pose[:1], report=_phase(report, 1, steps), **chosen
        )
        source = Source(trajectory, own.embeddings[:, 0], own.seen[0])
    else:
        source = read_source(options.embeddings, made_with, steps)
    if options.save_embeddings is not None:
        write_source(options.save_embeddings, source, made_with)
    trajectory, embeddings, maps = source.trajectory, source.embeddings[:, None], source.seen[None]
    later = pose[1:]
    unseen = options.mgdm and (known is None or len(known) < len(pose))
    if len(later) and (options.inversion == "pose_aware" or unseen):
        if options.inversion != "pose_aware":  # for the masks alone
            chosen["optimisation"] = dataclasses.replace(optimisation, inner_steps=0)
        found = optimise(
            predict, process, trajectory, constant, source.embeddings, later, report=_phase(report, 2, steps),
            frames_at_once=options.optimise_at_once, devices=jax.local_devices()[: options.devices], **chosen,
        )  # fmt: skip
        embeddings = jnp.concatenate([embeddings, found.embeddings], axis=1)
        maps = jnp.concatenate([maps, found.seen])
    else:
        embeddings = jnp.repeat(embeddings, len(pose), axis=1)
    masks = character_masks(maps, z0.shape[:2], options.mask_threshold)
    if known is not None:
        given = jax.image.resize(known, (len(known), *z0.shape[:2]), "linear") > 0.5
        masks = jnp.concatenate([given.astype(masks.dtype), masks[len(known) :]])
    return Held(trajectory, embeddings, masks)


def sample_latents(
    params: PyTree,
    config: StableDiffusionConfig,
    prompts: Prompts,
    pose: Float[Array, "frames h w features"],
    held: Held,
    sampling: Sampling,
    options: Options,
    memory: Memory,
    report: Report | None = None,
) -> Float[Array, "frames h w channels"]:
    """Scaled latents of all frames, sampled together from the inversion's noise."""
    patterns = Patterns()
    if options.dcam:
        masks = held.masks[None] if options.mgdm else None
        patterns = Patterns(
            self_attention=dual_consistency_pattern(masks, lambdas=options.lambdas, outside=options.outside)
        )
    enters = options.optimisation.enters
    constant = prompts.prompt if enters == "unconditional" else prompts.empty
    networks = {name: params[name] for name in ("unet", "controlnet")}
    denoise = Partial(
        Denoise(config, enters, memory.guidance_in_turn),
        networks, patterns, held.embeddings, constant, pose, jnp.float32(sampling.guidance),
    )  # fmt: skip
    between = Partial(_source_again, held.trajectory) if options.inversion == "direct" else None
    noise = jnp.broadcast_to(held.trajectory[-1], (1, *pose.shape[:3], held.trajectory.shape[-1]))
    told = {"between": between, "report": _phase(report, 3, sampling.steps)}
    return sample(denoise, config.diffusion, noise, steps=sampling.steps, **told)[0]


def _source_again(trajectory, x, step):
    """Direct inversion: frame 0 is where the inversion of the source was at this noise level."""
    return x.at[:, 0].set(trajectory[len(trajectory) - 2 - step.index])


def _phase(report: Report | None, number: int, steps: int) -> Report | None:
    """The report of one of the four phases: inversion, the source's embeddings, the frames', sampling."""
    return None if report is None else lambda done, _, x0: report(number * steps + done, 4 * steps, x0)

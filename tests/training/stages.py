"""Every stage of every system with tiny networks, to be trained for a step on any mesh.

`python -m tests.training.stages OUT "MESH ..." [STAGE ...]`, with meshes such as data=2,fsdp=4 and eight devices,
trains a step of each stage on one device and on each mesh, and writes into OUT how far they are apart, as JSON.
"""

import dataclasses
import functools
import json
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxanim.data.skeletons import SkeletonClips
from jaxanim.models.clip_vision import CLIPVisionConfig
from jaxanim.models.face import FaceConfig
from jaxanim.models.shapes import parameter_shapes
from jaxanim.nn.resnet import ResnetBlock
from jaxanim.systems.directanimator.losses import Same2X
from jaxanim.systems.directanimator.task import DirectAnimatorRecipe, DirectAnimatorTask
from jaxanim.systems.magicanimate import losses as magicanimate
from jaxanim.systems.magicanimate.finishing import OpenedWeights
from jaxanim.systems.magicpose import losses as magicpose
from jaxanim.systems.poseanything import losses as poseanything
from jaxanim.systems.poseanything.stages import TRAINABLE as POSEANYTHING
from jaxanim.systems.stable_diffusion.config import StableDiffusionConfig
from jaxanim.systems.stable_diffusion.task import TextToImageTask
from jaxanim.training.experiment import Experiment
from jaxanim.training.finishing.decoder import DecoderTask
from jaxanim.training.finishing.discriminator import DISCRIMINATOR, fresh_discriminator
from jaxanim.training.finishing.pixels import PixelTask
from jaxanim.training.loop import initial
from jaxanim.training.objective import PLAIN
from jaxanim.training.sharding import MeshShape, make_mesh, placed, shard_batch
from jaxanim.training.state import step_function
from jaxanim.training.tasks.face import FaceTask
from jaxanim.training.tasks.vae import VAETask
from jaxanim.training.tasks.video_vae import VideoVAETask
from tests.systems import test_directanimator_training as directanimator
from tests.systems import tiny, tiny_pose, tiny_poseanything
from tests.systems.tiny import random_params

ROWS = 8
DRAW = np.random.default_rng(0)


@dataclasses.dataclass(frozen=True)
class Stage:
    """A task whose parameters are given and whose one batch is too."""

    params: Any
    trainable: tuple[str, ...]
    loss_of: Callable
    batch: dict[str, np.ndarray]

    def init(self, key, place=None):
        return placed(self.params, place)

    def loss(self, params, batch, key):
        found = self.loss_of(params, batch, key)
        return found if isinstance(found, tuple) else (found, {})


def normal(*shape):
    return DRAW.normal(size=shape).astype(np.float32)


def picture(*shape, most=256):
    return DRAW.integers(0, most, shape).astype(np.uint8)


def wide(sizes):
    """Of 16 channels: at 8, gradients of motion modules follow a change of the input's last bit by 1e-5."""
    unet, controlnet = (dataclasses.replace(part, block_out_channels=(16,)) for part in (sizes.unet, sizes.controlnet))
    return dataclasses.replace(sizes, unet=unet, controlnet=controlnet)


def magicanimate_stage(stage, clip=False):
    config, params = tiny.tiny(image=stage == 1, sizes=wide(tiny.FLAT) if stage == 2 else tiny.FLAT)
    frames, trainable = {1: 1, 2: 2}[stage], magicanimate.TRAINABLE[stage]
    if clip:
        encoder = CLIPVisionConfig(
            hidden_size=8, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2, image_size=28,
            projection_dim=8,
        )  # fmt: skip
        config, trainable = dataclasses.replace(config, image_encoder=encoder), magicanimate.TRAINABLE_CLIP
        params = {name: tree for name, tree in params.items() if name != "appearance_encoder"}
        params["image_encoder"] = random_params(parameter_shapes("image_encoder", encoder))
    batch = {
        "target": normal(ROWS, frames, 4, 4, 4), "reference": normal(ROWS, 4, 4, 4),
        "parts": picture(ROWS, frames, 32, 32, most=25),
    }  # fmt: skip
    return Stage(params, trainable, lambda p, b, key: magicanimate.loss(p, config, b, key), batch)


def magicpose_stage(stage):
    config, params = tiny_pose.tiny_pose(image=stage < 3, sizes=wide(tiny_pose.FLAT) if stage == 3 else tiny_pose.FLAT)
    frames = 2 if stage == 3 else 1
    batch = {"target": normal(ROWS, frames, 4, 4, 4)}
    if stage != 1:
        batch["pose"] = picture(ROWS, frames, 32, 32, 3)
    batch |= {"tokens": picture(ROWS, 8).astype(np.int32)} if stage == 0 else {"reference": normal(ROWS, 4, 4, 4)}
    return Stage(params, magicpose.TRAINABLE[stage], lambda p, b, key: magicpose.loss(p, config, b, key), batch)


def stable_diffusion():
    config, params = tiny.tiny(image=True, sizes=tiny.FLAT)
    sizes = StableDiffusionConfig(
        config.vae, config.text_encoder, config.unet, diffusion=config.diffusion, defaults=config.defaults
    )
    task = TextToImageTask(None, sizes, None, None, PLAIN)
    params = {name: params[name] for name in ("vae", "unet", "text_encoder")}
    batch = {"latents": normal(ROWS, 1, 4, 8, 4), "tokens": picture(ROWS, 8).astype(np.int32)}
    return Stage(params, task.trainable, task.loss, batch)


def poseanything_stage(stage):
    config, params = tiny_poseanything.tiny()
    batch = {
        # 9 tokens a frame, which 4 devices do not divide.
        "latents": normal(ROWS, 3, 6, 6, 4), "poses": picture(ROWS, 5, 24, 24, 3),
        "tokens": picture(ROWS, 16, most=40).astype(np.int32), "words": np.arange(16)[None] < np.arange(4, 12)[:, None],
    }  # fmt: skip
    if stage == 3:
        batch["parts"] = DRAW.random((ROWS, 2, 3, 3, 3)) < 0.5
    return Stage(params, POSEANYTHING[stage], lambda p, b, key: poseanything.loss(p, config, b, key), batch)


def directanimator_stage(stage, injection="cuefusion"):
    config = directanimator.CONFIG
    config = dataclasses.replace(config, transformer=dataclasses.replace(config.transformer, injection=injection))
    params = {"transformer": random_params(parameter_shapes("transformer", config.transformer))}
    where = {"vae": "folder"} if stage == 1 else {"start": "folder", "same2x": Same2X(depth=2)}
    task = DirectAnimatorTask(DirectAnimatorRecipe(stage, config, directanimator.PAIRS, **where), config, {})
    if stage == 2:
        params["teacher"] = random_params(parameter_shapes("transformer", config.transformer), seed=8)
    # 18 tokens, likewise.
    batch = {"latents": normal(ROWS, 3, 6, 6, 4), "image": normal(ROWS, 1, 6, 6, 4)}
    for prefix in ("", "pseudo_"):
        batch |= {f"{prefix}{name}": normal(ROWS, 3, 6, 6, 5) for name in ("pose", "face")}
    return Stage(params, task.trainable, task.loss, batch)


def vae():
    config = tiny.CONFIG.vae
    task = VAETask(config, None, None)
    params = random_params(parameter_shapes("vae", config))
    return Stage(params, (".*",), task.loss, {"pixels": picture(ROWS, 16, 16, 3)})


def video_vae(config, frames, clips):
    task = VideoVAETask(config, clips, clips, crop=16)
    params = random_params(parameter_shapes("vae", config))
    return Stage(params, task.trainable, task.loss, {"pixels": picture(ROWS, frames, 16, 16, 3)})


def wan_vae():
    # Of channels that eight devices divide.
    config = dataclasses.replace(tiny_poseanything.CONFIG.vae, base_dim=8, decoder_base_dim=8)
    return video_vae(config, 5, SkeletonClips(seeds=(0, 1), frames=5, span=20, size=(16, 16)))


def cogvideox_vae():
    return video_vae(directanimator.VAE, 9, dataclasses.replace(directanimator.PAIRS, size=(16, 16)))


def face():
    config = FaceConfig()
    task = FaceTask(config, None, None)
    params = random_params({"face": parameter_shapes("face", config)}) | {"classes": normal(16, config.embedding)}
    batch = {
        "face": picture(ROWS, config.side, config.side, 3), "state": normal(ROWS, 4),
        "identity": np.arange(ROWS, dtype=np.int32),
    }  # fmt: skip
    return Stage(params, task.trainable, task.loss, batch)


def finishing(kind):
    config, params = tiny.tiny(sizes=tiny.FLAT)
    weights = OpenedWeights(config, params, None)
    recipe = types.SimpleNamespace(
        adversarial=0.5, texture=0.1, true_share=0.5, subject_weight=2.0, head_weight=3.0
    )
    judged = {DISCRIMINATOR: fresh_discriminator(jax.random.key(0))}
    if kind == "decoder":
        task = DecoderTask(recipe, weights, config.vae)
        batch = {
            "latents": normal(ROWS, 4, 4, 4), "sampled": DRAW.random(ROWS) < 0.5, "pixels": picture(ROWS, 32, 32, 3)
        }  # fmt: skip
        return Stage(params["vae"] | judged, task.trainable, task.loss, batch)
    task = PixelTask(recipe, weights)
    batch = {
        "target": normal(ROWS, 1, 4, 4, 4), "reference": normal(ROWS, 4, 4, 4), "frames": picture(ROWS, 1, 32, 32, 3),
        "parts": picture(ROWS, 1, 32, 32, most=25),
    }  # fmt: skip
    return Stage(params | judged, task.trainable, task.loss, batch)


def residual_block():
    """A block of the UNet alone, on pictures of two rows and columns."""
    block = ResnetBlock(16, groups=4)
    batch = {"x": normal(ROWS, 1, 2, 2, 8), "temb": normal(ROWS, 8), "y": normal(ROWS, 1, 2, 2, 16)}
    shapes = jax.eval_shape(block.init, jax.random.key(0), batch["x"], batch["temb"])["params"]

    def loss(params, batch, key):
        return jnp.mean(jnp.square(block.apply({"params": params["unet"]}, batch["x"], batch["temb"]) - batch["y"]))

    return Stage({"unet": random_params(shapes)}, (".*",), loss, batch)


STAGES: dict[str, Callable[[], Stage]] = {
    "residual block": residual_block,
    "stable_diffusion": stable_diffusion,
    **{f"magicanimate {n}": functools.partial(magicanimate_stage, n) for n in (1, 2)},
    "magicanimate clip": functools.partial(magicanimate_stage, 1, clip=True),
    **{f"magicanimate {kind}": functools.partial(finishing, kind) for kind in ("decoder", "pixels")},
    **{f"magicpose {n}": functools.partial(magicpose_stage, n) for n in (0, 1, 2, 3)},
    **{f"poseanything {n}": functools.partial(poseanything_stage, n) for n in (1, 2, 3)},
    **{f"directanimator {n}": functools.partial(directanimator_stage, n) for n in (1, 2)},
    "directanimator cross": functools.partial(directanimator_stage, 1, "cross_attention"),
    "vae": vae, "wan vae": wan_vae, "cogvideox vae": cogvideox_vae, "face": face,
}  # fmt: skip


def trained(stage: Stage, shape: MeshShape, devices) -> dict[str, Any]:
    """Loss, gradients, and how the state lies, of one step by `jaxanim.training`."""
    # Adam's first mean after one step is a tenth of the gradient, whatever the learning rate.
    experiment = Experiment("step", stage, batch_size=ROWS, clip_norm=0, weight_decay=0, mesh=shape)
    mesh = make_mesh(shape, devices)
    state, frozen = initial(experiment, stage, mesh)
    step = step_function(experiment, stage, state)
    before = [leaf.sharding for leaf in jax.tree.leaves(state)]
    state, metrics = step(state, frozen, shard_batch(stage.batch, mesh))
    assert [leaf.sharding for leaf in jax.tree.leaves(state)] == before
    mu = state.optimizer[0].mu
    kept = sum(leaf.addressable_shards[0].data.nbytes for leaf in jax.tree.leaves((state, frozen)))
    return {
        "metrics": {name: float(value) for name, value in metrics.items()},
        "gradients": {path: np.asarray(leaf, np.float64) * 10 for path, leaf in mu.items()},
        "bytes": kept,
    }


def compare(name: str, shapes: dict[str, MeshShape]) -> dict[str, dict[str, Any]]:
    """How far a step on each mesh is from one device's."""
    stage = STAGES[name]()
    one = trained(stage, MeshShape(), jax.devices()[:1])
    largest, loss = max(np.abs(leaf).max() for leaf in one["gradients"].values()), one["metrics"]["loss"]
    found = {}
    for mesh, shape in shapes.items():
        many = trained(stage, shape, jax.devices())
        off = {path: np.abs(leaf - many["gradients"][path]).max() for path, leaf in one["gradients"].items()}
        worst = max(off, key=off.get)
        found[mesh] = {
            "loss": loss,
            "loss_off": abs(loss - many["metrics"]["loss"]) / abs(loss),
            "largest_gradient": float(largest),
            "gradient_off": float(off[worst] / largest),
            "worst": worst,
            "share": many["bytes"] / one["bytes"],
        }
        print(name, mesh, found[mesh], flush=True)
    return found


def main(out: str, meshes: str, *names: str) -> None:
    parts = {mesh: (part.partition("=") for part in mesh.split(",")) for mesh in meshes.split()}
    shapes = {mesh: MeshShape(**{axis: int(size) for axis, _, size in sizes}) for mesh, sizes in parts.items()}
    Path(out).write_text(json.dumps({name: compare(name, shapes) for name in names or STAGES}))


if __name__ == "__main__":
    main(*sys.argv[1:])

"""Every run that the weights in the repository came from, in order: `make weights` goes through them.

  make weights          # python -m train.weights: stopped at any moment, the same command goes on where it was

Some 14 hours on two shared cores, and PoseAnything's, of which stage 2 took four, and DirectAnimator's three. The
results of the last runs are what weights/ holds: `weights/magicanimate` is runs/pixels_2/weights,
`weights/magicpose` is made of runs/magicpose_stage2 by `train.parts`, `weights/base` has the UNet of runs/base,
`weights/face` is runs/face/weights, `weights/poseanimate` is the base that runs/poseanimate_base leaves, with its
ControlNet, `weights/poseanything` is runs/poseanything_stage3/weights, and `weights/directanimator` is
runs/directanimator_stage2/weights.

What is rebuilt is not what ships to the bit. The base and the first runs of stage 1 were trained in pieces: the
base by an unweighted loss for its first 1700 steps, the first run of stage 1 on the base of that moment, and the
autoencoder was stopped at step 2442. PoseAnything's autoencoder learnt on a GPU, and its stage 2 in four pieces,
of which the first three aimed at 400, 1500 and 5000 steps.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Run:
    """One run: its name, which is its folder in runs/, its config, and the fields that differ from the config's."""

    name: str
    config: str
    overrides: tuple[str, ...] = ()


STAGE1, DECODER, PIXELS = ("magicanimate_stage1", "magicanimate_decoder", "magicanimate_pixels")
# One step of sampling sees noise nearly alone; the pose's first layers know their work by then.
FOR_ONE_STEP = ("task.tau1=0", "ema_decay=0.995")
WITH_UNET = (
    "thaw=^unet/(?!.*motion_modules)",
    "task.objective.timestep_power=32",
    "learning_rate=5e-4",
    "steps=900",
)
SMALL = ("batch_size=8", "sheet_every=0")
SHARPENED = ("task.start.folder=runs/fifth_decoder/weights", "task.true_share=0.15", "clip_norm=0")


def _on(run: str) -> tuple[str, ...]:
    return f"task.start=runs/{run}/weights", f"task.vae=runs/{run}/weights"


def _sharpen(name: str, before: str, adversarial: float, rate: str, seed: int, steps: int) -> Run:
    settings = f"task.adversarial={adversarial} learning_rate={rate} ema_decay=0.98 seed={seed} steps={steps}"
    return Run(name, DECODER, (*SHARPENED, f"init_from=runs/{before}", *settings.split()))


RUNS = (
    Run("face", "face"),
    Run("vae", "vae"),
    Run("base", "base"),
    # MagicAnimate: both stages by the paper's recipe.
    Run("first", STAGE1, (
        "steps=1100", "learning_rate=1e-3", "task.objective.weigh_pixels=false", "task.objective.timestep_power=2",
    )),
    Run("second", STAGE1, ("init_from=runs/first", "steps=1700")),
    Run("magicanimate_stage1", STAGE1, ("init_from=runs/second",)),
    Run("magicanimate_stage2", "magicanimate_stage2"),
    # Stage 1 again for what a single step asks, and the decoder, deeper, on what that samples.
    Run("fourth", STAGE1, (
        "task.start=runs/magicanimate_stage2/weights", "task.objective.timestep_power=16", "hold=cond_embedding",
        "learning_rate=1.2e-3", "warmup=20", "steps=700", *FOR_ONE_STEP,
    )),
    Run("decoder", DECODER, (
        "task.start.folder=runs/fourth/weights", "task.layers=none", "learning_rate=1e-3", "warmup=20",
        "ema_decay=0.99", "steps=331",
    )),
    Run("deeper", DECODER, ("task.start.folder=runs/fourth/weights", "init_from=runs/decoder", "steps=900")),
    Run("third_decoder", DECODER, (
        "task.start.folder=runs/fourth/weights", "init_from=runs/deeper", "learning_rate=1.2e-3", "seed=1",
        "steps=980", "task.true_share=0.15",
    )),
    # The base's UNet learns too, and after each time the decoder again.
    Run("fifth", STAGE1, (*_on("third_decoder"), *FOR_ONE_STEP, *WITH_UNET)),
    Run("fourth_decoder", DECODER, (
        "task.start.folder=runs/fifth/weights", "learning_rate=1e-3", "seed=2", "steps=360", "task.true_share=0.15",
    )),
    Run("sixth", STAGE1, (*_on("fourth_decoder"), *FOR_ONE_STEP, *WITH_UNET, "seed=12")),
    Run("fifth_decoder", DECODER, (
        "task.start.folder=runs/sixth/weights", "learning_rate=1e-3", "seed=3", "steps=420", "task.true_share=0.15",
    )),
    # A discriminator, which learns alone at first: it has to know blur before it can ask for less.
    Run("judge", DECODER, (
        *SHARPENED, "task.adversarial=0.5", "hold=^(decoder|post_quant_conv)/", "learning_rate=1e-3",
        "schedule=constant", "ema_decay=0.9", "seed=4", "steps=150",
    )),
    _sharpen("sharp_1", "judge", 0.5, "5e-4", 5, 400),
    _sharpen("sharp_2", "sharp_1", 1.5, "7e-4", 6, 600),
    _sharpen("sharp_3", "sharp_2", 0.7, "7e-4", 7, 400),
    _sharpen("sharp_4", "sharp_3", 0.5, "7e-4", 8, 240),
    # Networks and decoder together, on the pixels.
    Run("pixels", PIXELS, ("task.start.folder=runs/sharp_4/weights", "init_from=runs/sharp_4")),
    Run("pixels_2", PIXELS, (
        "task.start.folder=runs/pixels/weights", "seed=1", "steps=660", "learning_rate=7e-4", "task.head_weight=8",
        "task.subject_weight=2.5", "task.adversarial=0",
    )),
    Run("magicpose_stage1", "magicpose_stage1"),
    Run("magicpose_stage2", "magicpose_stage2"),
    # What PoseAnimate inverts.
    Run("poseanimate_base", "poseanimate_base", (
        "task.base=runs/base/weights", "task.controlnet=runs/magicpose_stage2/weights",
    )),
    # PoseAnything: an autoencoder of videos, and the three stages.
    Run("poseanything_vae_short", "poseanything_vae", (
        "task.start=None", "task.frames=9", "batch_size=8", "learning_rate=2e-3", "steps=3000",
    )),
    Run("poseanything_vae", "poseanything_vae"),
    Run("poseanything_stage1", "poseanything_stage1", ("steps=100", "warmup=20", "ema_decay=0.99", *SMALL)),
    Run("poseanything_stage2", "poseanything_stage2", ("steps=3000", "warmup=30", "ema_decay=0.99", *SMALL)),
    Run("poseanything_stage3", "poseanything_stage3", ("steps=200", "warmup=20", "ema_decay=0.98", *SMALL)),
    # DirectAnimator: an autoencoder of videos, and each stage in two pieces.
    Run("directanimator_vae", "directanimator_vae", ("steps=1500",)),
    Run("directanimator_stage1_short", "directanimator_stage1", (
        "steps=400", "warmup=20", "ema_decay=0.98", *SMALL,
    )),
    Run("directanimator_stage1", "directanimator_stage1", (
        "init_from=runs/directanimator_stage1_short", "steps=2000", "warmup=20", "ema_decay=0.99", "sheet_every=0",
    )),
    Run("directanimator_stage2_short", "directanimator_stage2", (
        "steps=300", "warmup=20", "ema_decay=0.98", "sheet_every=0",
    )),
    Run("directanimator_stage2", "directanimator_stage2", (
        "init_from=runs/directanimator_stage2_short", "task.pairs.seeds=0,1500", "steps=1800", "warmup=20",
        "ema_decay=0.99", "sheet_every=0",
    )),
)  # fmt: skip

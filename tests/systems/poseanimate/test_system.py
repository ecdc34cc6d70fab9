"""PoseAnimate from an image, words and poses to frames, with networks of no size."""

import dataclasses
import re

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxanim.cues.driving import Labels
from jaxanim.cues.openpose import Keypoints
from jaxanim.errors import InputError
from jaxanim.media.images import to_float, write_png
from jaxanim.models.shapes import parameter_shapes
from jaxanim.models.tokenizer import build_word_tokenizer
from jaxanim.puppets import puppet_clip
from jaxanim.puppets.driving import driving_of
from jaxanim.systems.base import Memory, Sampling
from jaxanim.systems.conditions import encode_inputs
from jaxanim.systems.poseanimate.animate import Options, hold, sample_latents
from jaxanim.systems.poseanimate.masks import character_masks, silhouettes, subject_map, subject_tokens
from jaxanim.systems.poseanimate.system import embed, load
from jaxanim.systems.stable_diffusion.config import StableDiffusionConfig
from jaxanim.systems.stable_diffusion.system import save
from jaxanim.weights import save_weights
from sample.animate import main
from tests.sample.conftest import write_openpose
from tests.systems import tiny

SIDE, STEPS, FRAMES = 32, 2, 1
CONFIG = StableDiffusionConfig(
    vae=tiny.FLAT.vae,
    text_encoder=tiny.FLAT.text_encoder,
    unet=dataclasses.replace(tiny.FLAT.unet, motion=None, pool_frames=False),
    controlnet=tiny.FLAT.controlnet,
    defaults=Sampling(size=(SIDE, SIDE), steps=STEPS, guidance=7.5),
)
# Shapes, and steps reported one by one, as in every test: they share their compiled programs. With one frame beside
# the source's, the source's optimisation and the frames' are one program too.
QUICK = {"inner_steps": 1, "transition": 0}


@pytest.fixture(scope="module")
def clip():
    return puppet_clip(950_003, FRAMES, (SIDE, SIDE))


@pytest.fixture(scope="module")
def driving(clip):
    return dataclasses.replace(driving_of(clip), prompt="a woman dances", subject="woman")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("weights")
    names = ("vae", "text_encoder", "unet", "controlnet")
    params = tiny.random_params({name: parameter_shapes(name, getattr(CONFIG, name)) for name in names})
    words = build_word_tokenizer(["a", "woman", "dances", "quick"], folder / "words", 8)
    save(params, CONFIG, words, folder / "base")
    unposed = {name: tree for name, tree in params.items() if name != "controlnet"}
    save(unposed, dataclasses.replace(CONFIG, controlnet=None), words, folder / "unposed")
    wider = dataclasses.replace(CONFIG.unet, block_out_channels=(12,))
    other = unposed | tiny.random_params({"unet": parameter_shapes("unet", wider)})
    save(other, dataclasses.replace(CONFIG, controlnet=None, unet=wider), words, folder / "wider")
    return folder


@pytest.fixture(scope="module")
def system(folder):
    system = load(folder / "base")
    assert (system.defaults.steps, system.defaults.guidance) == (50, 7.5)
    return dataclasses.replace(system, config=CONFIG)


@pytest.fixture(scope="module")
def inputs(system, clip, driving):
    """(prompts, z0, pose embeddings of the source's frame and the others)."""
    prompts = embed(system.run.args[0], system.params, system.config, driving)
    pictures = np.concatenate([driving.still.pictures["openpose"], driving.pictures["openpose"]])
    reference = jnp.asarray(to_float(clip.reference))
    return prompts, *encode_inputs(
        system.config, system.params, reference, jnp.asarray(pictures, jnp.float32) / 255
    )


def quiet(done, total, pictures):
    assert 0 <= done <= total


def animate(system, clip, driving, report=quiet, **options):
    return system.animate(
        to_float(clip.reference), driving, key=jax.random.key(0), options=Options(**QUICK | options), report=report
    )


def test_a_puppet_moves_and_progress_is_told(system, clip, driving):
    told = []
    frames = animate(system, clip, driving, lambda *told_now: told.append(told_now), lead_in=True)
    chex.assert_shape(frames, (1 + FRAMES, SIDE, SIDE, 3))
    chex.assert_tree_all_finite(frames)
    assert np.abs(np.diff(np.asarray(frames), axis=0)).max() > 1e-3
    steps = [done for done, _, _ in told]
    assert steps == sorted(steps)
    assert told[-1][:2] == (4 * STEPS, 4 * STEPS)
    # Of the inversion, of the embeddings' optimisation, of the frames.
    assert [None if seen is None else seen.shape[0] for seen in (told[0][2], told[STEPS][2], told[-1][2])] == [
        1, None, 1 + FRAMES
    ]  # fmt: skip
    assert np.abs(told[-1][2]).max() <= 1
    chex.assert_trees_all_close(animate(system, clip, driving), frames[1:], atol=1e-5)


def test_a_controlnet_goes_on_another_base(folder, system):
    other = load(folder / "base", base=folder / "unposed")
    assert other.config.controlnet == CONFIG.controlnet
    chex.assert_trees_all_equal(other.params["unet"], system.params["unet"])


def test_direct_inversion_gives_the_source_back(system, inputs):
    prompts, z0, pose = inputs
    options = Options(inversion="direct", **QUICK)
    held = hold(system.params, CONFIG, prompts, z0, pose, None, system.defaults, options, quiet)
    latents = sample_latents(system.params, CONFIG, prompts, pose, held, system.defaults, options, Memory(), quiet)
    chex.assert_trees_all_close(latents[0], z0, atol=1e-5)
    assert float(jnp.abs(latents[1] - z0).max()) > 1e-3


def test_an_unoptimised_prompt_does_not_feel_the_guidance_scale(system, inputs):
    prompts, z0, pose = inputs
    options = Options(inversion="negative_prompt", dcam=False, mgdm=False, **QUICK)
    results = []
    for guidance in (7.5, 1.0):
        sampling = dataclasses.replace(system.defaults, guidance=guidance)
        held = hold(system.params, CONFIG, prompts, z0, pose, None, sampling, options, quiet)
        results.append(
            sample_latents(system.params, CONFIG, prompts, pose, held, sampling, options, Memory(), quiet)
        )
    chex.assert_trees_all_close(*results, atol=1e-4)


def test_frames_are_sampled_together_as_each_alone_where_nothing_is_shared(system, inputs):
    """With each frame's own embedding, without dual consistency: the optimisation's own walk, taken again."""
    prompts, z0, pose = inputs
    options = Options(dcam=False, inner_steps=3, transition=0)
    held = hold(system.params, CONFIG, prompts, z0, pose, None, system.defaults, options, quiet)
    assert float(jnp.abs(held.embeddings[:, 1] - held.embeddings[:, 0]).max()) > 1e-6
    given = (system.params, CONFIG, prompts)
    latents = sample_latents(*given, pose, held, system.defaults, options, Memory(), quiet)
    turn = sample_latents(*given, pose, held, system.defaults, options, Memory(guidance_in_turn=True), quiet)
    chex.assert_trees_all_close(turn, latents, atol=1e-4)
    one = held._replace(embeddings=held.embeddings[:, 1:], masks=held.masks[1:])
    alone = sample_latents(*given, pose[1:], one, system.defaults, options, Memory(), quiet)
    chex.assert_trees_all_close(alone[0], latents[1], atol=1e-4)


def test_kept_embeddings_serve_another_motion(system, inputs, tmp_path):
    """As if found anew, by the frames' optimisation alone; and only where they belong."""
    prompts, z0, pose = inputs
    path = f"{tmp_path}/kept.safetensors"

    def held(pose, told=quiet, prompts=prompts, z0=z0, sampling=system.defaults, **files):
        options = Options(**QUICK, **files)
        return hold(system.params, CONFIG, prompts, z0, pose, None, sampling, options, told)

    held(pose, save_embeddings=path)
    told, other = [], jnp.concatenate([pose[:1], pose[1:, ::-1]])
    again = held(other, lambda done, *_: told.append(done), embeddings=path)
    chex.assert_trees_all_close(again, held(other), atol=1e-6)
    assert told == [2 * STEPS + 1, 2 * STEPS + 2]

    longer = dataclasses.replace(system.defaults, steps=3)
    weaker = dataclasses.replace(system.defaults, guidance=2.0)
    for message, wrong in {
        "is for 2 steps, and steps is 3": {"sampling": longer},
        "another guidance scale": {"sampling": weaker},
        "another reference": {"z0": z0[::-1]},
        "another prompt": {"prompts": prompts._replace(prompt=prompts.empty)},
    }.items():
        with pytest.raises(InputError, match=message):
            held(pose, embeddings=path, **wrong)
    with pytest.raises(InputError, match="'direct', which optimises no embeddings"):
        Options(inversion="direct", embeddings=path)


def test_the_source_s_mask_is_taken_as_given(system, inputs):
    prompts, z0, pose = inputs
    mask = np.zeros((SIDE, SIDE), np.float32)
    mask[: SIDE // 2] = 1
    options = Options(inversion="negative_prompt", **QUICK)
    held = hold(system.params, CONFIG, prompts, z0, pose, jnp.asarray(mask)[None], system.defaults, options, quiet)
    assert held.masks.shape == (1 + FRAMES, *z0.shape[:2])
    assert (np.asarray(held.masks[0]) == (np.arange(z0.shape[0]) < z0.shape[0] // 2)[:, None]).all()


def test_masks_around_the_pose_lie_where_the_puppet_is():
    for seed in (950_000, 950_003):
        clip = puppet_clip(seed, 2, (128, 128))
        drawn, true = silhouettes(driving_of(clip).keypoints, (128, 128)), clip.mask > 127
        overlap = (drawn & true).sum((1, 2)) / (drawn | true).sum((1, 2))
        assert overlap.min() > 0.75
    nobody = Keypoints(np.zeros((1, 1, 18, 3)), np.zeros((1, 2, 21, 3)), np.zeros((1, 1, 68, 3)))
    assert not silhouettes(nobody, (16, 16)).any()


def test_masks_that_are_known_for_every_frame_are_the_ones_held(system, inputs, clip, driving, capsys):
    prompts, z0, pose = inputs
    known = jnp.asarray(np.random.default_rng(0).random((1 + FRAMES, *z0.shape[:2])) > 0.5, jnp.float32)
    options = Options(inversion="negative_prompt", **QUICK)
    held = hold(system.params, CONFIG, prompts, z0, pose, known, system.defaults, options, quiet)
    chex.assert_trees_all_equal(held.masks, known)
    chex.assert_tree_all_finite(animate(system, clip, driving, inversion="negative_prompt", masks="pose"))
    assert "drawn around the poses" in capsys.readouterr().err


def test_words_of_the_subject_are_found_in_the_prompt(system):
    tokenizer = system.run.args[0]
    assert subject_tokens(tokenizer, "a quick woman dances", "woman").tolist() == [0, 0, 0, 1, 0, 0, 0, 0]
    assert subject_tokens(tokenizer, "a quick woman dances", "Quick woman").tolist() == [0, 0, 1, 1, 0, 0, 0, 0]


@pytest.mark.parametrize(
    ("sides", "chosen"), [((32, 16, 8), (16, 3.0)), ((64, 24, 12), (24, 3.0)), ((8, 4, 2), (8, 4.0))]
)
def test_maps_of_16x16_that_both_sides_have_are_averaged(sides, chosen):
    def layer(side, value):
        return {"attentions_0": {"attn2": jnp.full((1, 2, side, side), value)}}

    fine, middle, coarse = sides
    taken = {
        "down_blocks_0": layer(fine, 1.0),
        "down_blocks_1": layer(middle, 2.0),
        "mid_block": layer(coarse, 9.0),
        "up_blocks_0": {},
        "up_blocks_1": layer(middle, 4.0),
        "up_blocks_2": layer(fine, 7.0),
    }
    side, value = chosen
    chex.assert_trees_all_close(subject_map(taken), jnp.full((1, 2, side, side), value))


def test_masks_are_where_a_map_is_high():
    maps = jnp.asarray([[[0.1, 0.1], [0.5, 0.9]]])
    assert character_masks(maps, (2, 2), 0.3).tolist() == [[[0, 0], [1, 1]]]
    assert character_masks(maps, (2, 2), 0.7).tolist() == [[[0, 0], [0, 1]]]


@pytest.fixture(scope="module")
def words(folder, driving, clip):
    """The program's, of an animation that could be made."""
    write_png(folder / "reference.png", clip.reference)
    write_png(folder / "mask.png", np.zeros((16, 24, 3), np.uint8))
    for name, keypoints in (("motion", driving.keypoints), ("pose", driving.still.keypoints)):
        write_openpose(folder / name, keypoints.body)
    few = driving.keypoints.body.copy()
    few[:, :, [0, *range(3, 18)], 2] = 0
    write_openpose(folder / "few", few)
    (folder / "damaged.safetensors").write_bytes(b"not a header")
    save_weights(folder, {"other": (CONFIG.vae, {"a": np.zeros(2)})}, system="toy", dtype=np.float32)
    return {
        "--weights": folder / "base", "--reference": folder / "reference.png", "--motion": folder / "motion",
        "--reference-motion": folder / "pose", "--prompt": "a woman dances", "--subject": "woman", "--steps": 2,
        "--out": folder / "result.mp4",
    }  # fmt: skip


BAD = {
    "subject": ({"--subject": "horse"}, "subject is 'horse': its word 'horse' is not in the prompt 'a woman dances'"),
    "no subject": ({"--subject": " "}, "subject is ' ': name the words of the prompt for who moves"),
    "prompt too long": ({"--prompt": "a a a a a a a woman"}, "has more than 8 tokens, and ends before 'a woman'"),
    "negative too long": ({"--negative": "a a a a a a a quick"}, "negative is 'a a a a a a a quick': it has more"),
    "mask of another size": ({"--reference-mask": "mask.png"}, "mask.png is 24x16; it should be 32x32, as --reference"),
    "too few joints": ({"--motion": "few"}, "have 1 limbs of the body in common; at least 2 are needed to align"),
    "no embeddings": ({"--embeddings": "none.safetensors"}, "embeddings file .*none.safetensors is missing"),
    "damaged embeddings": ({"--embeddings": "damaged.safetensors"}, "embeddings file .* is cut short or damaged"),
    "other embeddings": ({"--embeddings": "other.safetensors"}, "holds no trajectory: give one that save_embeddings"),
    "replaced": ({"--embeddings": "a.safetensors", "--save-embeddings": "a.safetensors"}, "which --embeddings .* is too"),
    "no such name": ({"--save-embeddings": "a.bin"}, "--save-embeddings is .*a.bin: the name has to end in .safetensors"),
    "devices": ({"--devices": 99}, "devices is 99: this machine has"),
}  # fmt: skip


@pytest.mark.parametrize(("changes", "message"), BAD.values(), ids=BAD)
def test_the_program_tells_bad_input_and_writes_nothing(words, folder, capsys, changes, message):
    before = sorted(folder.rglob("*"))
    given = {k: folder / v if isinstance(v, str) and (k in PATHS) else v for k, v in changes.items()}
    argv = [str(word) for pair in (words | given).items() for word in pair]
    assert main(["--system", "poseanimate", "--size", "32x32", *argv]) == 2
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert re.search(message, last), last
    assert sorted(folder.rglob("*")) == before


PATHS = ("--reference-mask", "--motion", "--embeddings", "--save-embeddings")


def test_other_bad_input_is_told(system, folder, clip, driving):
    still = Labels(keypoints=driving.still.keypoints, masks=np.zeros((1, 8, 16), np.uint8))
    with pytest.raises(InputError, match="reference_mask is 16x8; it should be 32x32"):
        animate(system, clip, dataclasses.replace(driving, still=still))
    with pytest.raises(InputError, match="prompt"):
        animate(system, clip, dataclasses.replace(driving, prompt=None))
    with pytest.raises(InputError, match="has no network 'controlnet'"):
        load(folder / "unposed")
    with pytest.raises(InputError, match="wider has a UNet with block_out_channels"):
        load(folder / "base", base=folder / "wider")
    bad = {"transition": -1, "mask_threshold": 0.0, "optimise_at_once": 0, "devices": 0}
    for wrong in (*({name: value} for name, value in bad.items()), {"lambda_first": 0.9, "lambda_before": 0.2}):
        with pytest.raises(InputError, match=next(iter(wrong))):
            Options(**wrong)

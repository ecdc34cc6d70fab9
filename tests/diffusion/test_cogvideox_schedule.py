"""CogVideoX's process, DDIM and DPM step by step against diffusers' CogVideoXDDIMScheduler and
CogVideoXDPMScheduler."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

from jaxanim.diffusion.betas import Betas
from jaxanim.diffusion.ddim import DDIM
from jaxanim.diffusion.dpm import DPM
from jaxanim.diffusion.sample import sample
from jaxanim.errors import InputError

torch = pytest.importorskip("torch")
diffusers = pytest.importorskip("diffusers")

PROCESS = Betas(
    prediction_type="v_prediction", spacing="trailing", rescale_betas_zero_snr=True, set_alpha_to_one=True
)
SHAPE = (2, 3, 4, 4, 2)


def scheduler(name):
    return getattr(diffusers, f"CogVideoX{name}Scheduler")(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False, steps_offset=0,
        prediction_type="v_prediction", timestep_spacing="trailing", rescale_betas_zero_snr=True,
        set_alpha_to_one=True, snr_shift_scale=1.0,
    )  # fmt: skip


def velocity(x, t):
    """Stands for a network: depends on x and t, not linearly."""
    return 0.5 * np.sin(3 * x) + 0.3 * x - t / 2000


def predict(x, step):
    return 0.5 * jnp.sin(3 * x) + 0.3 * x - step.t / 2000


def test_the_process_is_cogvideox_s():
    theirs = scheduler("DDIM").alphas_cumprod.numpy()
    np.testing.assert_allclose(PROCESS.alphas_cumprod, theirs, rtol=1e-9, atol=1e-15)
    assert PROCESS.alphas_cumprod[-1] == 0
    assert PROCESS.timesteps(50)[0] == 999


@pytest.mark.parametrize("steps", [1, 4, 50])
def test_ddim(steps):
    theirs = scheduler("DDIM")
    theirs.set_timesteps(steps)
    x = np.random.default_rng(0).normal(size=SHAPE).astype(np.float32)
    passed = [torch.from_numpy(x)]
    for t in theirs.timesteps:
        v = velocity(passed[-1].numpy(), int(t)).astype(np.float32)
        passed.append(theirs.step(torch.from_numpy(v), t, passed[-1]).prev_sample.float())
    ours = sample(Partial(predict), PROCESS, jnp.asarray(x), steps=steps, solver=DDIM(), trajectory=True)
    np.testing.assert_allclose(ours, np.stack([p.numpy() for p in passed]), atol=2e-5)


@pytest.mark.parametrize("steps", [1, 2, 7, 50])
def test_dpm(steps, monkeypatch):
    """diffusers draws twice a step from the second on and uses the last draw: its source is replaced by ours."""
    theirs, key = scheduler("DPM"), jax.random.key(5)
    theirs.set_timesteps(steps)
    now = {}
    noise = lambda *args, **kwargs: torch.from_numpy(now["z"])  # noqa: E731
    monkeypatch.setattr(diffusers.schedulers.scheduling_dpm_cogvideox, "randn_tensor", noise)
    x = np.random.default_rng(0).normal(size=SHAPE).astype(np.float32)
    passed, old, ts = [torch.from_numpy(x)], None, theirs.timesteps
    for i, t in enumerate(ts):
        now["z"] = np.array(jax.random.normal(jax.random.fold_in(key, i), SHAPE))
        v = torch.from_numpy(velocity(passed[-1].numpy(), int(t)).astype(np.float32))
        out, old = theirs.step(v, old, t, ts[i - 1] if i else None, passed[-1])
        passed.append(out.float())
    ours = sample(Partial(predict), PROCESS, jnp.asarray(x), steps=steps, solver=DPM(), key=key, trajectory=True)
    np.testing.assert_allclose(ours, np.stack([p.numpy() for p in passed]), atol=5e-5)


def test_dpm_needs_a_key():
    with pytest.raises(InputError, match="sampling with it needs a key"):
        sample(Partial(predict), PROCESS, jnp.zeros(SHAPE), steps=2, solver=DPM())

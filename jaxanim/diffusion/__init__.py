"""Noise schedules, samplers, inversion, guidance, and windows over long videos."""

from jaxanim.diffusion.ddim import DDIMSteps, ddim_step, ddim_steps, sample, timesteps
from jaxanim.diffusion.guidance import classifier_free
from jaxanim.diffusion.inversion import inversion_steps, invert
from jaxanim.diffusion.schedule import Schedule, add_noise, make_schedule, target, to_x0_eps, velocity
from jaxanim.diffusion.windows import (
    closed_loop_windows,
    fuse,
    pad_motion,
    padded_windows,
    predict_shifted_windows,
    predict_windows,
    shared_noise,
)

__all__ = [
    "DDIMSteps",
    "Schedule",
    "add_noise",
    "classifier_free",
    "closed_loop_windows",
    "ddim_step",
    "ddim_steps",
    "fuse",
    "inversion_steps",
    "invert",
    "make_schedule",
    "pad_motion",
    "padded_windows",
    "predict_shifted_windows",
    "predict_windows",
    "sample",
    "shared_noise",
    "target",
    "timesteps",
    "to_x0_eps",
    "velocity",
]

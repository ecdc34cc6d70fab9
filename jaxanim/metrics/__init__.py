"""How close a video comes to the truth: per image, over time, and over a whole test set."""

from jaxanim.metrics.image import psnr, ssim
from jaxanim.metrics.video import compare, static_video, summary, table, temporal_error

"""The kernels by name."""

from jaxanim.attention.kernels import blocked, cudnn, splash, xla

KERNELS = {kernel.name: kernel for kernel in (xla.KERNEL, blocked.KERNEL, splash.KERNEL, cudnn.KERNEL)}

"""What an accelerator can do at most, by the name that JAX gives its kind."""

import dataclasses

import jax

GIB = 2**30


@dataclasses.dataclass(frozen=True)
class Chip:
    """Figures of what JAX calls one device.

    Attributes:
      name: as its maker has it.
      flops: floating point operations a second, bfloat16, without sparsity.
      links: bytes a second to all neighbours together, sent and received counted once each; None where unknown.
      memory: bytes that a program may use; None where this was not seen.
    """

    name: str
    flops: float
    links: float | None = None
    memory: int | None = None


# Makers' data sheets; a TPU's memory is what its compiler grants.
CHIPS = {
    "TPU v4": Chip("v4", 137.5e12),  # JAX may count a chip's two cores, each with half of 275e12
    "TPU v5 lite": Chip("v5e", 197e12, 200e9, int(15.75 * GIB)),
    "TPU v5": Chip("v5p", 459e12, 600e9, int(95.73 * GIB)),
    "TPU v6 lite": Chip("v6e", 918e12, 400e9, int(31.24 * GIB)),
    "NVIDIA A100-SXM4-40GB": Chip("A100", 312e12),
    "NVIDIA A100-SXM4-80GB": Chip("A100", 312e12),
    "NVIDIA H100 80GB HBM3": Chip("H100", 989e12),
    "NVIDIA H200": Chip("H200", 989e12),
    "NVIDIA L4": Chip("L4", 121e12),
}


def chip_of(device: jax.Device) -> Chip | None:
    """The device's figures; None where they are not known, such as a CPU's."""
    return CHIPS.get(device.device_kind)

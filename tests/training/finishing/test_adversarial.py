"""The patch discriminator and the loss made with it, against PyTorch's layers and gradients."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxanim.convert.layout import from_torch, to_torch
from jaxanim.training.finishing.adversarial import adversarial_loss
from jaxanim.training.finishing.discriminator import DiscriminatorConfig, PatchDiscriminator

CONFIG = DiscriminatorConfig(widths=(4, 8, 8), norm_num_groups=4)
WEIGHT = 0.7


@pytest.fixture(scope="module")
def case():
    """(parameters, true pictures, decoded ones)."""
    rng = np.random.default_rng(0)
    pixels, decoded = (jnp.asarray(rng.uniform(-1, 1, (3, 32, 24, 3)), jnp.float32) for _ in range(2))
    shapes = jax.eval_shape(PatchDiscriminator(CONFIG).init, jax.random.key(0), pixels)["params"]
    return jax.tree.map(lambda leaf: 0.3 * rng.standard_normal(leaf.shape, np.float32), shapes), pixels, decoded


def judge(params, pixels):
    return PatchDiscriminator(CONFIG).apply({"params": params}, pixels)


def torch_judge(torch, params):
    """The discriminator of PyTorch's layers, with our parameters."""

    class Judge(torch.nn.Module):
        def __init__(self):
            super().__init__()
            pairs = zip((3, *CONFIG.widths), CONFIG.widths, strict=False)
            self.conv = torch.nn.ModuleList(torch.nn.Conv2d(n, m, 4, stride=2, padding=1) for n, m in pairs)
            groups = CONFIG.norm_num_groups
            norms = {str(i): torch.nn.GroupNorm(groups, m, eps=1e-5) for i, m in enumerate(CONFIG.widths) if i}
            self.norm = torch.nn.ModuleDict(norms)
            self.conv_out = torch.nn.Conv2d(CONFIG.widths[-1], 1, 4, padding=1)

        def forward(self, pixels):
            x = pixels.permute(0, 3, 1, 2)
            for i, conv in enumerate(self.conv):
                x = conv(x) if i == 0 else self.norm[str(i)](conv(x))
                x = torch.nn.functional.leaky_relu(x, 0.2)
            return self.conv_out(x)[:, 0]

    network = Judge()
    network.load_state_dict({name: torch.tensor(value) for name, value in to_torch(params).items()})
    return network


def test_the_discriminator_equals_one_of_pytorchs_layers(case):
    torch = pytest.importorskip("torch")
    params, pixels, _ = case
    logits = jax.jit(judge)(params, pixels)
    expected = torch_judge(torch, params)(torch.tensor(np.asarray(pixels))).detach().numpy()
    chex.assert_shape(logits, (3, 3, 2))
    np.testing.assert_allclose(logits, expected, rtol=1e-5, atol=1e-5)


def test_either_side_learns_by_its_own_loss_alone(case):
    """The gradients of our one loss beside those of two losses, each taken by PyTorch for its own side."""
    torch = pytest.importorskip("torch")
    params, pixels, decoded = case

    def ours(params, decoded):
        return adversarial_loss(judge, params, decoded, pixels, lambda x: jnp.mean(jnp.square(x - pixels)), WEIGHT)

    (_, metrics), (of_params, of_decoded) = jax.jit(jax.value_and_grad(ours, (0, 1), has_aux=True))(params, decoded)
    network = torch_judge(torch, params)
    true, made = torch.tensor(np.asarray(pixels)), torch.tensor(np.asarray(decoded), requires_grad=True)
    square = torch.autograd.grad(((made - true) ** 2).mean(), made)[0]
    opinion = torch.autograd.grad(-network(made).mean(), made)[0]
    expected = square + WEIGHT * square.norm() / opinion.norm() * opinion
    np.testing.assert_allclose(of_decoded, expected.numpy(), rtol=1e-4, atol=1e-7)

    made = made.detach()
    hinge = 0.5 * ((1 - network(true)).clamp(min=0).mean() + (1 + network(made)).clamp(min=0).mean())
    hinge.backward()
    assert float(metrics["discriminator"]) == pytest.approx(hinge.item(), rel=1e-5)
    assert float(metrics["judged"]) == pytest.approx(network(made).mean().item(), rel=1e-4, abs=1e-6)
    wanted = from_torch({name: leaf.grad.numpy() for name, leaf in network.named_parameters()})
    chex.assert_trees_all_close(of_params, wanted, rtol=1e-3, atol=1e-6)

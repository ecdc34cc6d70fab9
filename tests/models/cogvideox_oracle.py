"""diffusers' CogVideoX networks with random parameters, and arrays for both sides."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
diffusers = pytest.importorskip("diffusers")

SIZES = {
    "num_attention_heads": 2, "attention_head_dim": 16, "in_channels": 8, "out_channels": 4, "time_embed_dim": 12,
    "ofs_embed_dim": 12, "text_embed_dim": 10, "num_layers": 3, "sample_width": 12, "sample_height": 8,
    "patch_size": 2, "patch_size_t": 2, "max_text_seq_length": 5, "use_rotary_positional_embeddings": True,
    "patch_bias": False,
}  # fmt: skip
VAE_SIZES = {
    "block_out_channels": (8, 8, 16, 16), "latent_channels": 4, "layers_per_block": 1, "norm_num_groups": 4,
    "sample_height": 32, "sample_width": 32, "scaling_factor": 0.7, "invert_scale_latents": True,
}  # fmt: skip


def randomise(net, seed=0, scale=0.1):
    """Norms and biases too must not be where they start."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(scale * torch.randn_like(parameter))
    return net.eval()


def make_transformer(**sizes):
    torch.manual_seed(1)
    return randomise(diffusers.CogVideoXTransformer3DModel(**SIZES | sizes))


def make_vae(**sizes):
    torch.manual_seed(2)
    return randomise(diffusers.AutoencoderKLCogVideoX(**VAE_SIZES | sizes), scale=0.05)


def positions(net, frames, height, width):
    """The pipeline's rotary table for latents of this size."""
    from diffusers.models.embeddings import get_3d_rotary_pos_embed

    c = net.config
    return get_3d_rotary_pos_embed(
        c.attention_head_dim, None, (height // c.patch_size, width // c.patch_size), frames // c.patch_size_t,
        grid_type="slice", max_size=(c.sample_height // c.patch_size, c.sample_width // c.patch_size),
    )  # fmt: skip


def predict(net, x, text, t):
    """The network's prediction on channels-last arrays, as the pipeline calls it."""
    x, text, t = (np.array(a) for a in (x, text, t))
    x = torch.from_numpy(np.moveaxis(x, -1, 2).copy())
    ofs = None if net.config.ofs_embed_dim is None else torch.full((1,), 2.0)
    with torch.no_grad():
        out = net(
            hidden_states=x, encoder_hidden_states=torch.from_numpy(text), timestep=torch.from_numpy(t), ofs=ofs,
            image_rotary_emb=positions(net, x.shape[1], x.shape[3], x.shape[4]), return_dict=False,
        )[0]  # fmt: skip
    return np.moveaxis(out.numpy(), 2, -1)


def relative_error(actual, expected):
    return np.abs(np.asarray(actual) - expected).max() / np.abs(expected).max()

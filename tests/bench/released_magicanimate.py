"""One guided step of MagicAnimate in PyTorch, on diffusers' modules, with the work that the released pipeline does.

Nothing is shared that the release does not share: the appearance encoder runs to its end and on both halves of the
batch, its features are repeated for every frame and projected there, the reading attention is computed for both
halves and the unconditional one then a second time without the reference, and the ControlNet embeds the pose at every
step. Written from the description of that behaviour; it serves as a yardstick for speed and as an oracle for values.
"""

import types

import torch


class ReleasedStep:
    """`step(x, t, reference, text, pose, guidance)`: the noise estimate [1, c, frames, h, w].

    Built on UNetMotionModel, UNet2DConditionModel and ControlNetModel; it replaces the spatial transformer blocks'
    `forward` in the mid and up blocks of the two UNets.
    """

    def __init__(self, unet, encoder, controlnet):
        self.unet, self.encoder, self.controlnet = unet, encoder, controlnet
        for writer, reader in zip(_blocks(encoder), _blocks(unet), strict=True):
            writer.forward = types.MethodType(_write, writer)
            reader.forward = types.MethodType(_read, reader)
            reader.writer = [writer]  # in a list, so that it does not become a submodule

    @torch.inference_mode()
    def __call__(self, x, t, reference, text, pose, guidance):
        frames = x.shape[2]
        images = x[0].transpose(0, 1)
        prompts = text.repeat(frames, 1, 1)
        down, mid = self.controlnet(images, t, prompts, pose, return_dict=False)
        self.encoder(reference.repeat(2, 1, 1, 1), t, text.repeat(2, 1, 1))
        both = self.unet(
            x.repeat(2, 1, 1, 1, 1),
            t,
            text.repeat(2 * frames, 1, 1),
            down_block_additional_residuals=tuple(r.repeat(2, 1, 1, 1) for r in down),
            mid_block_additional_residual=mid.repeat(2, 1, 1, 1),
        ).sample
        plain, read = both.chunk(2)
        return plain + guidance * (read - plain)


def _blocks(unet):
    """The transformer blocks that store or read, in network order, which at SD1.5's widths is the paired order."""
    holders = [unet.mid_block, *unet.up_blocks]
    return [a.transformer_blocks[0] for holder in holders for a in getattr(holder, "attentions", [])]


def _write(self, hidden, attention_mask=None, encoder_hidden_states=None, **_):
    self.stored = self.norm1(hidden)
    return _rest(self, hidden + self.attn1(self.stored), encoder_hidden_states)


def _read(self, hidden, attention_mask=None, encoder_hidden_states=None, **_):
    normed = self.norm1(hidden)
    stored = self.writer[0].stored
    stored = stored.repeat_interleave(len(hidden) // len(stored), 0)
    out = hidden + self.attn1(normed, encoder_hidden_states=torch.cat([normed, stored], 1))
    half = len(hidden) // 2
    out[:half] = hidden[:half] + self.attn1(normed[:half])
    return _rest(self, out, encoder_hidden_states)


def _rest(block, hidden, text):
    hidden = hidden + block.attn2(block.norm2(hidden), encoder_hidden_states=text)
    return hidden + block.ff(block.norm3(hidden))

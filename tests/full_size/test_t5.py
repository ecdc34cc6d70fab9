"""T5-v1.1-XXL and umT5-XXL at their real width with two layers and a small vocabulary, against transformers.

make test-full
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxanim.models.t5 import T5Encoder
from tests.convert.converted import convert

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

pytestmark = pytest.mark.full_size
SIZES = {"vocab_size": 500, "d_model": 4096, "d_kv": 64, "d_ff": 10240, "num_layers": 2, "num_heads": 64}


@pytest.mark.parametrize(("kind", "tokens", "masked"), [("T5", 226, False), ("UMT5", 512, True)])
def test_t5(kind, tokens, masked):
    config = getattr(transformers, f"{kind}Config")(
        **SIZES, feed_forward_proj="gated-gelu", is_encoder_decoder=False, use_cache=False
    )
    torch.manual_seed(0)
    net = getattr(transformers, f"{kind}EncoderModel")(config).eval()
    ids = np.random.default_rng(0).integers(0, 500, (1, tokens))
    mask = np.arange(tokens)[None] < (tokens // 3 if masked else tokens)
    with torch.no_grad():
        expected = net(
            torch.from_numpy(ids), attention_mask=torch.from_numpy(mask).long()
        ).last_hidden_state.numpy()
    _, config, params = convert(net.state_dict())
    del net
    actual = jax.jit(T5Encoder(config).apply)(
        {"params": params}, jnp.asarray(ids, jnp.int32), jnp.asarray(mask) if masked else None
    )
    error = np.abs(np.asarray(actual) - expected)[mask].max() / np.abs(expected[mask]).max()
    print(f"{kind} encoder, two layers: relative error {error:.1e}")
    assert error < 1e-4
    jax.clear_caches()

"""PoseAnything's equations against literal transcriptions of the paper."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from jaxanim.errors import InputError
from jaxanim.systems.poseanything import guidance, matching, part_attention, parts, sparse

GRID = (3, 4, 4)
PARTS = 3


def _stroke(size, *rows):
    s = np.zeros((len(rows), size, size), np.uint8)
    for k, (y, x0, x1) in enumerate(rows):
        s[k, y, x0:x1] = 1
    return s


def _literal_dilate(s):
    """One iteration of a 3 x 3 ellipse: a pixel is set where it or one of the four beside it was."""
    out = s.copy()
    for y in range(s.shape[0]):
        for x in range(s.shape[1]):
            for dy, dx in ((1, 0), (-1, 0), (0, 1), (0, -1)):
                if 0 <= y + dy < s.shape[0] and 0 <= x + dx < s.shape[1] and s[y + dy, x + dx]:
                    out[y, x] = 1
    return out


def test_eq_6_dilates_each_segment_alpha_times():
    segments = _stroke(16, (3, 2, 6), (12, 9, 14))[None]
    expected = segments[0]
    for _ in range(3):
        expected = np.stack([_literal_dilate(s) for s in expected])
    np.testing.assert_array_equal(parts.dilate(segments, 3)[0], expected)
    np.testing.assert_array_equal(parts.dilate(segments, 0), segments)


@pytest.mark.parametrize("radius", [0, 3, 6])
def test_eq_7_dilates_until_the_body_is_covered(radius):
    rng = np.random.default_rng(radius)
    skeleton = _stroke(24, (11, 6, 18))[0]
    body = np.zeros((24, 24), bool)
    body[11 - radius : 12 + radius, 6:18] = rng.random((2 * radius + 1, 12)) < 0.9
    body[11, 6:18] = True
    grown, alpha = skeleton, 0
    # IoU of what is dilated and the body it covers is 1 where nothing of the body is left over.
    while (body & (grown == 0)).any() and alpha < 100:
        grown, alpha = _literal_dilate(grown), alpha + 1
    assert parts.dilations(skeleton, body) == alpha


def test_eq_7_stops_at_a_hundred():
    skeleton, body = np.zeros((8, 160), np.uint8), np.ones((8, 160), bool)
    skeleton[4, 4] = 1
    assert parts.dilations(skeleton, body) == 100
    assert parts.dilations(skeleton * 0, body) == 100
    assert parts.dilations(skeleton, body & False) == 0


def test_parts_are_joined_until_few_and_large_enough():
    # Seven strokes, the last two of three pixels: one near the first stroke, one near the third.
    segments = _stroke(64, *((8 * k, 4, 40) for k in range(5)), (1, 41, 44), (17, 41, 44))[None].repeat(2, 0)
    joined = parts.merge_segments(segments)
    assert joined.shape[1] == 5
    assert joined[0, 0].sum() == joined[1, 2].sum() == 39
    assert (joined.sum(1) == segments.sum(1)).all()
    # Fewer than 20 pixels are too few, however few parts there are.
    assert parts.merge_segments(_stroke(64, (4, 0, 30), (8, 0, 19))[None]).shape[1] == 1
    assert parts.merge_segments(_stroke(64, (4, 0, 30), (8, 0, 20))[None]).shape[1] == 2


def test_part_masks_follow_the_reference_mask():
    segments = _stroke(32, (16, 8, 16), (16, 16, 24))[None].repeat(5, 0)
    body = np.zeros((32, 32), bool)
    body[14:19, 8:24] = True
    np.testing.assert_array_equal(parts.part_masks(segments, body), parts.dilate(segments, 2))
    np.testing.assert_array_equal(parts.part_masks(segments, alpha=4), parts.dilate(segments, 4))
    np.testing.assert_array_equal(parts.part_masks(segments), parts.dilate(segments, 2))


def test_a_token_belongs_to_the_part_that_has_most_of_it():
    masks = np.zeros((5, 2, 8, 8), np.uint8)
    masks[0, 0, :4, :4] = 1
    masks[1:3, 0, 4:, 4:] = 1
    masks[1:5, 1, 4:, 4:] = 1
    shares = parts.grid_shares(masks, (2, 2, 2))
    np.testing.assert_array_equal(shares[:, 0], [[[1, 0], [0, 0]], [[0, 0], [0, 0.5]]])
    ids = parts.exclusive_ids(shares)
    np.testing.assert_array_equal(ids, [[[0, -1], [-1, -1]], [[-1, -1], [-1, 1]]])
    with pytest.raises(InputError, match="stand for 9 frames"):
        parts.grid_shares(masks, (3, 2, 2))


def _matching_inputs():
    rng = np.random.default_rng(0)
    frames, rows, heads, dim = 3, 16, 2, 8
    q = rng.normal(size=(rows, heads, dim)).astype(np.float32)
    k = rng.normal(size=(frames * rows, heads, dim)).astype(np.float32)
    ids = rng.integers(-1, PARTS, (frames, rows))
    ids[2] = -1  # a frame without a pose
    masks = ids[:, None] == np.arange(PARTS)[:, None]
    return q, k, ids.astype(np.int32), masks


def test_eq_8_is_the_mean_of_the_whole_attention_matrix_over_two_masks():
    q, k, _, masks = _matching_inputs()
    weight = matching.attention_weight(*map(jnp.asarray, (q, k, masks[0], masks)))
    frames, rows = masks.shape[0], masks.shape[2]
    expected = np.zeros((PARTS, frames, PARTS))
    for h in range(q.shape[1]):
        scores = np.array(
            [[q[a, h].astype(float) @ k[b, h] / np.sqrt(8) for b in range(len(k))] for a in range(rows)]
        )
        whole = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
        for j in range(PARTS):
            for i in range(frames):
                for t in range(PARTS):
                    block = whole[masks[0, j]][:, i * rows : (i + 1) * rows][:, masks[i, t]]
                    expected[j, i, t] += block.mean() if block.size else 0
    np.testing.assert_allclose(weight, expected, rtol=1e-5)
    found = matching.match(np.asarray(weight))
    np.testing.assert_array_equal(found[1], expected[:, 1].argmax(-1))
    np.testing.assert_array_equal(found[0], range(PARTS))
    np.testing.assert_array_equal(found[2], [-1] * PARTS)


def test_rows_of_the_attention_matrix_are_never_all_computed():
    """At Wan's 704x1280x121 the whole matrix of one head has 27,280 squared entries; these are 880 of its rows."""
    rows, frames, heads = 880, 31, 24
    shapes = [
        jax.ShapeDtypeStruct(shape, dtype)
        for shape, dtype in (
            ((rows, heads, 128), jnp.bfloat16), ((rows * frames, heads, 128), jnp.bfloat16),
            ((5, rows), jnp.bool_), ((frames, 5, rows), jnp.bool_),
        )
    ]  # fmt: skip
    memory = jax.jit(matching.attention_weight).lower(*shapes).compile().memory_analysis()
    one_head = rows * rows * frames * 4
    whole = (rows * frames) ** 2 * 4
    assert memory.temp_size_in_bytes < 8 * one_head < whole / 3


def test_a_segment_of_another_name_is_brought_to_its_part():
    ids = np.array([[0] * 5 + [1] * 5 + [2] * 5 + [-1], [2] * 5 + [-1] + [0] * 5 + [1] * 5], np.int32)
    weight = np.zeros((3, 2, 3), np.float32)
    weight[:, 0] = np.eye(3)
    weight[:, 1] = [[0.1, 0.2, 0.9], [0.8, 0.1, 0.1], [0.3, 0.2, 0.1]]  # parts 1 and 2 both choose segment 0
    found = matching.match(weight)
    np.testing.assert_array_equal(found, [[0, 1, 2], [2, 0, 0]])
    one = matching.matched_ids(ids[:, None], weight, found)[:, 0]
    np.testing.assert_array_equal(one[0], ids[0])
    np.testing.assert_array_equal(one[1], [0] * 5 + [-1] + [1] * 5 + [-1] * 5)
    masks = (ids[:, None] == np.arange(3)[:, None])[:, :, None]
    both = matching.matched_masks(masks, found)
    np.testing.assert_array_equal(both[1, 1], masks[1, 0])
    np.testing.assert_array_equal(both[1, 2], masks[1, 0])


class _Projections(nn.Module):
    """W_q, W_k, W_v and W_o with biases, RMS norms over all heads on q and k."""

    heads: int = 2
    head_dim: int = 4

    def setup(self):
        width = self.heads * self.head_dim
        # Biases at zero would hide what they do.
        init = {"bias_init": nn.initializers.normal(0.5)}
        self.q, self.k, self.v, self.o = (nn.Dense(width, **init) for _ in range(4))
        self.norm_q, self.norm_k = nn.RMSNorm(), nn.RMSNorm()

    def _heads(self, x):
        return x.reshape(*x.shape[:-1], self.heads, self.head_dim)

    def query(self, x):
        return self._heads(self.norm_q(self.q(x)))

    def key(self, x):
        return self._heads(self.norm_k(self.k(x)))

    def value(self, x):
        return self._heads(self.v(x))

    def output(self, o):
        return self.o(o.reshape(*o.shape[:-2], -1))

    def __call__(self, x):
        return self.output(self.query(x) + self.key(x) + self.value(x))


@pytest.fixture(scope="module")
def projected():
    x = jax.random.normal(jax.random.key(1), (2, 48, 8))
    module = _Projections()
    return module.bind(module.init(jax.random.key(2), x)), x


def _cross_attention(layer, x_q, x_kv):
    """Cross-Atten of Eq. 9 on gathered tokens, one query at a time."""
    if not len(x_kv):
        return np.zeros_like(x_q)
    q, k, v = np.asarray(layer.query(x_q)), np.asarray(layer.key(x_kv)), np.asarray(layer.value(x_kv))
    out = np.zeros_like(q)
    for n in range(len(q)):
        for h in range(q.shape[1]):
            scores = np.array([q[n, h] @ k[m, h] for m in range(len(k))], float) / np.sqrt(q.shape[-1])
            p = np.exp(scores - scores.max())
            out[n, h] = (p / p.sum()) @ v[:, h]
    return np.asarray(layer.output(jnp.asarray(out)))


def test_eq_9_in_one_call_is_the_sum_over_parts(projected):
    layer, x = projected
    rng = np.random.default_rng(3)
    ids = rng.integers(-1, PARTS, (2, *GRID)).astype(np.int32)
    ids[0][ids[0] == 2] = np.where(rng.random((ids[0] == 2).sum()) < 2, -1, 2)  # row 0 has no part 2
    ids[1, 2] = -1  # and row 1 no pose in its last frame
    out = part_attention.exclusive(layer, x, jnp.asarray(ids), GRID)
    expected = np.zeros(x.shape, np.float32)
    for b in range(2):
        flat = ids[b].reshape(-1)
        for j in range(PARTS):
            first = [n for n in range(16) if flat[n] == j]
            later = [n for n in range(16, 48) if flat[n] == j]
            expected[b, later] += _cross_attention(layer, np.asarray(x)[b, later], np.asarray(x)[b, first])
    np.testing.assert_allclose(out, expected, atol=1e-5)
    assert not np.asarray(out)[:, :16].any()
    assert np.abs(expected[0]).max() > 0.1


def test_the_released_form_masks_inputs_in_front_of_biased_projections(projected):
    layer, x = projected
    rng = np.random.default_rng(4)
    masks = rng.random((2, PARTS, *GRID)) < 0.5  # parts overlap
    out = part_attention.released(layer, x, jnp.asarray(masks), GRID)
    expected = np.zeros(x.shape, np.float32)
    for b in range(2):
        for j in range(PARTS):
            masked = np.asarray(x)[b] * masks[b, j].reshape(-1, 1)
            expected[b, 16:] += _cross_attention(layer, masked[16:], masked[:16])
    np.testing.assert_allclose(out, expected, atol=1e-5)
    # Tokens of no part are given something, which the paper's form would not.
    outside = ~masks.any(1).reshape(2, -1)
    assert np.abs(np.asarray(out)[outside & (np.arange(48) >= 16)]).max() > 0.1


def test_one_motion_serves_all_rows(projected):
    layer, x = projected
    ids = np.random.default_rng(5).integers(0, PARTS, (1, *GRID)).astype(np.int32)
    ids[0, 0].flat[:PARTS] = range(PARTS)
    one = part_attention.exclusive(layer, x, jnp.asarray(ids), GRID)
    both = part_attention.exclusive(layer, x, jnp.asarray(ids.repeat(2, 0)), GRID)
    np.testing.assert_array_equal(one, both)


def test_eqs_10_and_13_to_15_are_sums_of_three_estimates():
    empty, subject, camera = jax.random.normal(jax.random.key(0), (3, 2, 5))
    scale, s_s, s_c = 3.0, 2.0, 1.5
    eq_10 = camera + scale * (subject - camera)
    np.testing.assert_allclose(guidance.anchors(jnp.concatenate, subject, camera, scale), eq_10, atol=1e-5)
    # Eq. 10's second line (with s in front of the subject's difference, which the print leaves out) is its first.
    second = empty + scale * (subject - empty) - (scale - 1) * (camera - empty)
    np.testing.assert_allclose(eq_10, second, atol=1e-5)
    delta_subject, delta_camera = subject - empty, camera - empty  # Eqs. 14 and 15
    eq_13 = empty + s_s * delta_subject - s_c * delta_camera
    for in_turn in (False, True):
        out = guidance.superposed(jnp.concatenate, empty, subject, camera, s_s, s_c, in_turn=in_turn)
        np.testing.assert_allclose(out, eq_13, atol=1e-5)


def test_sparse_poses_have_the_papers_probabilities():
    rng = np.random.default_rng(0)
    draws = [sparse.draw_kept(rng, 81) for _ in range(12_000)]
    counts = np.array([kept.sum() for kept in draws])
    # A count on a border belongs to both subsets: each holds its own with equal chances for all its counts.
    sparse_only, medium_only, dense_only = counts < 11, (counts > 11) & (counts < 21), counts > 21
    assert sparse_only.mean() == pytest.approx(0.45 * 10 / 11, abs=0.015)
    assert medium_only.mean() == pytest.approx(0.20 * 9 / 11, abs=0.015)
    assert dense_only.mean() == pytest.approx(0.35 * 60 / 61, abs=0.015)
    assert (counts.min(), counts.max()) == (1, 81)
    # Half have even gaps; of those with 12 to 20 frames at random hardly any has by chance.
    even = [
        np.ptp(np.diff(np.flatnonzero(kept))) <= 1
        for kept, medium in zip(draws, medium_only, strict=True)
        if medium
    ]
    assert np.mean(even) == pytest.approx(0.5, abs=0.03)


def test_sparse_poses_of_short_videos_and_of_a_share():
    rng = np.random.default_rng(0)
    counts = [sparse.draw_kept(rng, 17).sum() for _ in range(300)]
    assert (min(counts), max(counts)) == (1, 17)
    for share, count in ((1.0, 81), (0.5, 40), (0.2, 16), (0.1, 8), (0.05, 4), (0.025, 2)):
        kept = sparse.keep_share(share, 81)
        assert kept.sum() == count
        assert kept[0]
    with pytest.raises(InputError, match="share of poses is 0"):
        sparse.keep_share(0.0, 81)

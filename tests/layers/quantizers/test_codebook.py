import numpy as np
import pytest
import tensorflow as tf

from keras_audio_vae.layers import VectorQuantizer
from keras_audio_vae.layers.quantizers.codebook import TOKENS_PER_CODE, Codebook, look_up
from keras_audio_vae.layers.quantizers.kmeans import kmeans
from keras_audio_vae.layers.quantizers.nearest import nearest_codes
from keras_audio_vae.layers.quantizers.tokens import as_tokens
from keras_audio_vae.layers.quantizers.usage import DECAY, Usage

RNG = np.random.default_rng(7)
CENTRES = 10.0 * RNG.normal(size=[12, 3]).astype(np.float32)


def clustered(*shape, spread=0.1, seed=0):
    rng = np.random.default_rng(seed)
    return (CENTRES[rng.integers(0, 12, shape)] + spread * rng.normal(size=[*shape, 3])).astype(np.float32)


def trainer(codebook):
    """A training step of a codebook on tokens [n, 3]: what they chose, how many codes were dead and restarted."""

    @tf.function(input_signature=[tf.TensorSpec([None, 3])], autograph=False)
    def step(tokens):
        rows = as_tokens(tokens[tf.newaxis], tf.ones([1, tf.shape(tokens)[0]]))
        placed = codebook.place(rows)
        codes = nearest_codes(rows.values, codebook.values(placed.vectors))
        return codes, *codebook.follow(placed, rows.restricted(placed.ready), codes)

    return lambda tokens: [part.numpy() for part in step(tf.constant(tokens))]


def test_codes_are_the_moving_averages_of_their_tokens():
    """Against the two averages of the paper, of counts and of sums, whose ratio the code is."""
    codebook = Codebook(size=5, dim=3, decay=0.8, kmeans_init=False, restart_threshold=0.0)
    follow, vectors = trainer(codebook), codebook.values().numpy().astype(np.float64)
    counts, sums = np.full(5, 0.2), 0.2 * vectors  # every code begins as if it had had an even share
    for step in range(6):
        tokens = RNG.normal(size=[20 + step, 3]).astype(np.float32)
        nearest = ((tokens[:, None] - vectors) ** 2).sum(-1).argmin(1)
        chosen = np.eye(5)[nearest]
        counts = 0.8 * counts + 0.2 * chosen.mean(axis=0)
        sums = 0.8 * sums + 0.2 * (chosen.T @ tokens) / len(tokens)
        vectors = sums / counts[:, None]
        np.testing.assert_array_equal(follow(tokens)[0], nearest)
        np.testing.assert_allclose(codebook.values(), vectors, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(codebook.shares.numpy(), counts, rtol=1e-5)


@pytest.mark.parametrize("normalize", [False, True])
def test_a_code_without_tokens_stays_exactly_where_it_is(normalize):
    codebook = Codebook(size=2, dim=3, kmeans_init=False, restart_threshold=0.0, normalize=normalize)
    codebook.vectors.assign([[1.0, 0.0, 0.0], [-3.0, 0.0, 0.0]])
    follow = trainer(codebook)
    for _ in range(30):
        follow(np.array([[0.8, 0.6, 0.0]], np.float32))
    np.testing.assert_array_equal(codebook.vectors.numpy()[1], [-3.0, 0.0, 0.0])
    moved = codebook.values().numpy()[0]
    assert moved[1] > 0.2 and (np.linalg.norm(moved) == pytest.approx(1.0, abs=1e-6)) == normalize


def test_kmeans_finds_the_clusters():
    tokens = clustered(400, seed=3)
    centres, shares = kmeans(tf.constant(tokens), 12, seed=tf.constant([0, 5]))
    order = ((CENTRES[:, None] - centres.numpy()) ** 2).sum(-1).argmin(1)
    assert sorted(order) == list(range(12)), "every cluster has its own centre"
    np.testing.assert_allclose(centres.numpy()[order], CENTRES, atol=0.1)
    assert float(tf.reduce_sum(shares)) == pytest.approx(1.0)


def test_kmeans_on_the_sphere_has_centres_of_length_one():
    tokens = tf.math.l2_normalize(tf.constant(clustered(200)), axis=-1)
    centres, _ = kmeans(tokens, 12, seed=tf.constant([0, 5]), normalize=True)
    np.testing.assert_allclose(np.linalg.norm(centres, axis=-1), np.ones(12), atol=1e-5)
    nearest = tf.gather(centres, nearest_codes(tokens, centres))
    assert float(tf.reduce_mean(tf.reduce_sum(tf.square(tokens - nearest), -1))) < 1e-2


def test_the_first_batches_place_the_codes():
    quantizer = VectorQuantizer(12, 3, kmeans_init=True, conscience=0.0)
    step = tf.function(lambda inputs: quantizer(inputs, training=True), autograph=False)
    for number in range(4):
        inputs = clustered(2, 11, seed=number)
        quantized = step(inputs)
        waiting = number < 3  # 12 of the 22 tokens of each batch are taken, and TOKENS_PER_CODE * 12 wanted
        assert np.array_equal(quantized.vectors, inputs) == waiting
        assert (float(quantized.losses["commitment"]) == 0.0) == waiting
        assert (float(quantized.measures["perplexity"][0]) == 0.0) == waiting
    assert TOKENS_PER_CODE == 4
    order = ((CENTRES[:, None] - quantizer.codebook.values().numpy()) ** 2).sum(-1).argmin(1)
    assert sorted(order) == list(range(12))
    np.testing.assert_allclose(quantized.vectors, inputs, atol=0.5, err_msg="the tokens of a cluster have its code")


def test_dead_codes_are_restarted_on_tokens_no_two_on_the_same():
    codebook = Codebook(size=16, dim=3, decay=0.9, kmeans_init=False, restart_threshold=0.15)
    codebook.vectors.assign(1000.0 + 10.0 * np.repeat(np.arange(16.0)[:, None], 3, axis=1))  # the first takes all
    follow, dead, steps = trainer(codebook), 0, 0
    while not dead and steps < 50:
        tokens = clustered(30, seed=steps)
        _, dead, restarts = follow(tokens)
        steps += 1
    assert steps == 19, "0.9^19 is the first power below 0.15"
    assert dead == restarts == 15
    vectors = codebook.values().numpy()
    distances = np.abs(vectors[:, None] - tokens).max(-1)
    on_tokens = distances.min(1) == 0.0
    assert on_tokens.sum() == 15 and len(np.unique(distances[on_tokens].argmin(1))) == 15
    np.testing.assert_allclose(codebook.shares.numpy()[on_tokens], 1 / 16)
    used = np.zeros(16)
    for step in range(20):
        codes, dead, _ = follow(clustered(30, seed=1000 + step))
        used[codes] = 1
        assert step > 10 or dead == 0, "a code that has just been restarted is not dead"
    assert used.sum() >= 12


def test_more_dead_codes_than_tokens_wait_for_the_next_batch():
    codebook = Codebook(size=8, dim=3, decay=0.0, kmeans_init=False)
    tokens = clustered(3)
    codes, dead, restarts = trainer(codebook)(tokens)
    assert dead == 8 - len(set(codes)) and restarts == 3
    on_tokens = (codebook.values().numpy()[:, None] == tokens).all(-1)
    on_tokens[codes] = False
    np.testing.assert_array_equal(on_tokens.sum(axis=0), [1, 1, 1])


def test_without_a_threshold_nothing_is_restarted():
    codebook = Codebook(size=8, dim=3, kmeans_init=False, restart_threshold=0.0)
    codebook.shares.assign(np.zeros(8))
    assert trainer(codebook)(clustered(3))[1:] == [0.0, 0.0]


def test_looking_codes_up_has_the_dense_gradient_of_a_one_hot_product():
    vectors, codes = tf.constant(CENTRES), tf.constant([3, 3, 0])
    weights = tf.constant(RNG.normal(size=[3, 3]).astype(np.float32))
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(vectors)
        found = tf.reduce_sum(look_up(vectors, codes) * weights)
        product = tf.reduce_sum((tf.one_hot(codes, 12) @ vectors) * weights)
    np.testing.assert_allclose(tape.gradient(found, vectors), tape.gradient(product, vectors), atol=1e-6)


def test_usage_is_of_the_latest_steps():
    usage = Usage(4)
    assert float(usage.perplexity()) == 0.0
    usage.update(tf.constant([8.0, 8.0, 8.0, 1.0]))
    assert float(usage.share_used()) == 1.0
    for _ in range(100):
        usage.update(tf.constant([9.0, 3.0, 0.0, 0.0]))
    assert float(usage.share_used()) == 0.75  # the one that came once is forgotten, the one that came often not yet
    for _ in range(400):
        usage.update(tf.constant([9.0, 3.0, 0.0, 0.0]))
    p = np.array([0.75, 0.25])
    assert float(usage.share_used()) == 0.5
    assert float(usage.perplexity()) == pytest.approx(np.exp(-np.sum(p * np.log(p))), rel=0.02)
    before = usage.histogram.numpy()
    usage.update(tf.zeros(4))
    np.testing.assert_array_equal(usage.histogram.numpy(), before)
    assert before.sum() == pytest.approx(12.0 / (1.0 - DECAY), rel=0.02)

import naive
import numpy as np
import pytest
from conftest import JIT_DISABLED
from test_kernels import assert_gradient, dense_run, door, draw
from test_layers import two_layers

import ensemble
from ensemble.kernels import dense
from ensemble.kernels.tiles import LANES

INPUTS = (1, 2, 3, 4, 5, 8, 9, 11, 14, 16, 31, 32, 33, 64)  # every size of the first group, alone and before others
ENGINES = ("dense", "numpy")
LARGE_N = 2 * dense.BLOCK + 7


def problem(d, h, n):
    """Pre-activations of order 1, whatever D; every fifth unit dead, every seventh active everywhere."""
    x, y, (w1, b1, w2, b2) = draw(d + h + n, d, h, n)
    w1 /= np.sqrt(d)
    b1[::5] = -1e3
    b1[::7] = 1e3 / (1 + np.arange(len(b1[::7])))
    return x, y, (w1, b1, w2 / h, b2)


@pytest.mark.parametrize("d", INPUTS)
@pytest.mark.parametrize(
    ("h", "n"), [(1, 3), (LANES - 1, 20), (LANES, 1), (LANES + 1, 33), (5 * LANES + 3, dense.BLOCK), (37, LARGE_N)]
)
def test_gradient_beside_every_boundary(d, h, n):
    if JIT_DISABLED and h * n > 1000:
        pytest.skip("needs compiled speed")
    assert_gradient("dense", *problem(d, h, n))


@pytest.mark.jit_heavy
@pytest.mark.parametrize("d", [2, 8, 32, 300])
def test_gradient_of_a_wide_network(d):
    assert_gradient("dense", *problem(d, 640, 420))


@pytest.mark.parametrize("d", [2, 9])
def test_dead_units_get_exactly_no_gradient(d):
    x, y, weights = problem(d, 2 * LANES + 3, 40)
    dead = ((x @ weights[0] + weights[1]) <= 0).all(axis=0)
    assert dead.sum() >= 5
    for block in dense_run(x, y, *weights)[0][:3]:
        assert (block[..., dead] == 0).all()
        assert (block[..., ~dead] != 0).all()


def test_large_offsets_of_the_inputs():
    x, y, (w1, b1, w2, b2) = draw(0, 3, 20, 60)
    x, b1 = x + 1e4, b1 - 1e4 * w1.sum(axis=0)  # w1 x and b1 cancel: four digits less, in the rules too
    for ours, rule in zip(dense_run(x, y, w1, b1, w2, b2)[0], two_layers(x, y, w1, b1, w2, b2)[1], strict=True):
        np.testing.assert_allclose(ours, rule, rtol=0, atol=1e-11 * np.abs(rule).max())


@pytest.mark.parametrize("d", [1, 3, 8, 10])
def test_packing_is_undone_and_leaves_the_padding_zero(d):
    h = LANES + 5
    flat = np.arange(1.0, (d + 2) * h + 2)
    packed = np.zeros(2 * (d + d % 2 + 2) * LANES + 1)
    door(dense.move)(flat, packed, d, h, True)
    assert np.count_nonzero(packed) == len(flat)
    back = np.empty_like(flat)
    door(dense.move)(back, packed, d, h, False)
    np.testing.assert_array_equal(back, flat)


@pytest.mark.parametrize("d", [2, *(pytest.param(d, marks=pytest.mark.jit_heavy) for d in (3, 8, 33))])
def test_bits_are_the_same_alone_and_in_a_batch(d):
    rng = np.random.default_rng(d)
    x = rng.normal(size=(23, d))
    data = ensemble.Dataset(x, np.sin(x).sum(axis=1))
    specs = ensemble.grid(
        width=[1, 17, 40], optimizer=["gd", "momentum", "adam"], hidden_bias=[True, False], output_bias=[True, False]
    )
    together = ensemble.train(specs, data, epochs=4, engine="dense")
    for i in range(0, len(specs), 5):
        alone = ensemble.train(specs[i : i + 1], data, epochs=4, engine="dense")
        np.testing.assert_array_equal(alone.train_loss[0], together.train_loss[i])
        for ours, theirs in zip(naive.four(alone.networks[0]), naive.four(together.networks[i]), strict=True):
            np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("d", [5, *(pytest.param(d, marks=pytest.mark.jit_heavy) for d in (2, 12))])
def test_every_optimizer_and_bias_setting_is_the_readable_engine(d):
    rng = np.random.default_rng(d)
    x = rng.normal(size=(30, d))
    data = ensemble.Dataset(x[:20], np.sin(x[:20]).sum(axis=1), x[20:], np.sin(x[20:]).sum(axis=1))
    specs = ensemble.grid(
        width=[3, 20], optimizer=["gd", "momentum", "adam"], hidden_bias=[True, False], output_bias=[True, False],
        lr=0.01, weight_decay=0.01, schedule="cosine",
    )  # fmt: skip
    ours, rules = (ensemble.train(specs, data, epochs=12, engine=engine, snapshots=[5]) for engine in ENGINES)
    np.testing.assert_allclose(ours.train_loss, rules.train_loss, rtol=1e-9)
    np.testing.assert_allclose(ours.test_loss, rules.test_loss, rtol=1e-9)

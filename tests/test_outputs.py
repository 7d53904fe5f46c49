"""Several outputs, and labels, in the engine "dense": gradients at every depth, whole trainings, predictions."""

import itertools
import subprocess
import sys

import naive
import numpy as np
import pytest
from conftest import JIT_DISABLED
from stored import content
from test_deep import flat
from test_kernels import door

import ensemble
from ensemble.engines import compiled, epoch_seconds
from ensemble.engines.settings import kernel_rules
from ensemble.kernels import dense, labels, outputs, updates
from ensemble.kernels.tiles import LANES
from ensemble.rules import layers, losses

BLOCK = outputs.BLOCK
SQUARES = [("mse", 2), ("mse", 3), ("mse", 10), ("mse", LANES + 1)]
LABELS = [("cross_entropy", 1), ("cross_entropy", 3), ("cross_entropy", LANES + 4)]  # of 2, 3 and 20 classes
BOTH = [*SQUARES, *LABELS]


def draw(loss, n_outputs, d, depth, width, n):
    """Return x (N, D), targets or labels, weights and biases of a network all of whose layers are at work."""
    rng = np.random.default_rng([n_outputs, d, depth, width, n])
    units = [d, *[width] * depth, n_outputs]
    weights = [rng.normal(size=pair) * np.sqrt(2 / pair[0]) for pair in itertools.pairwise(units)]
    biases = [rng.normal(size=units_out) * 0.3 for units_out in units[1:]]
    y = rng.normal(size=(n, n_outputs)) if loss == "mse" else targets(rng, n, n_outputs)
    return rng.normal(size=(n, d)), y, weights, biases


def targets(rng, n, n_outputs):
    return rng.integers(max(n_outputs, 2), size=n).astype(float)


def run(loss, x, y, weights, biases, lr=1e-3, output_weights=None, **settings):
    """Return the kernel's gradient, by tensor, and what it recorded of the first epoch: loss and accuracy."""
    theta, (_, width), n_outputs = flat(weights, biases), weights[0].shape, len(biases[-1])
    models = updates.Models(
        np.array([width]), np.array([len(weights) - 1]), np.array([0, theta.size]), theta, np.zeros(theta.size),
        np.zeros(theta.size), np.ones((1, 2)),
    )  # fmt: skip
    memory = {"optimizer": "momentum", "momentum": 0.0, "output_bias": True}  # its memory is the gradient
    spec = ensemble.grid(width=width, hidden_layers=len(weights) - 1, lr=lr, **memory | settings)
    rules = kernel_rules(spec, 1, len(x), loss, n_outputs)
    rows = [np.full((1, 2), np.inf) for _ in range(3)], [np.zeros((1, 2 * (loss != "mse"))) for _ in range(3)]
    given = np.ones(n_outputs) if output_weights is None else output_weights
    history = updates.History(np.arange(2), *rows[0], np.full(1, -1), *rows[1], given)
    empty = np.empty((0, x.shape[1])), np.empty((0, *y.shape[1:]))
    dense.train(dense.prepare(x, y, *empty, *empty), models, rules, history, updates.Span(0, 1, 0, 1))
    parts = [part for pair in zip(weights, biases, strict=True) for part in pair]
    ends = np.cumsum([part.size for part in parts])[:-1]
    found = [g.reshape(part.shape) for g, part in zip(np.split(models.first, ends), parts, strict=True)]
    return found, history.train[0, 0], history.train_accuracy[0, :1].tolist()


def assert_same(loss, x, y, weights, biases, hidden_bias=True, output_bias=True):
    """Compare with the rules, gradients within 1e-12 of each tensor's largest entry; return the gradient."""
    found, value, share = run(loss, x, y, weights, biases, hidden_bias=hidden_bias, output_bias=output_bias)
    expected, (dweights, dbiases) = layers.backward(x, y, weights, biases, losses.LOSSES[loss])
    on = [hidden_bias] * (len(biases) - 1) + [output_bias]
    gradient = in_order(dweights, [db * is_on for db, is_on in zip(dbiases, on, strict=True)])
    for place, (ours, slope) in enumerate(zip(found, gradient, strict=True)):
        name = f"{'biases' if place % 2 else 'weights'}[{place // 2}]"
        np.testing.assert_allclose(ours, slope, rtol=0, atol=1e-12 * np.abs(slope).max(), err_msg=name)
    assert value == pytest.approx(expected, rel=1e-12)
    assert share == ([] if loss == "mse" else [losses.accuracy(layers.forward(x, weights, biases), y)])
    return found


# ---- the gradient ----


@pytest.mark.parametrize(("width", "n"), [(1, 1), (5, 7), (LANES, BLOCK), (20, 2 * BLOCK + 7), (64, 131)])
@pytest.mark.parametrize("depth", [1, 3])
@pytest.mark.parametrize("d", [1, 3, 17])
@pytest.mark.parametrize(("loss", "n_outputs"), BOTH)
def test_gradient_is_that_of_the_rules(loss, n_outputs, d, depth, width, n):
    if JIT_DISABLED and width * n * n_outputs > 1000:
        pytest.skip("needs compiled speed")
    assert_same(loss, *draw(loss, n_outputs, d, depth, width, n))


@pytest.mark.parametrize(("loss", "n_outputs"), BOTH)
@pytest.mark.parametrize("depth", [1, 3])
def test_gradient_is_the_slope_along_a_random_direction(loss, n_outputs, depth):
    x, y, weights, biases = draw(loss, n_outputs, 3, depth, 12, 40)
    rng = np.random.default_rng(1)
    found, _, _ = run(loss, x, y, weights, biases)
    along = [rng.normal(size=part.shape) for part in found]
    ends = []
    for step in (1e-6, -1e-6):
        moved = [part + step * a for part, a in zip(in_order(weights, biases), along, strict=True)]
        ends.append(run(loss, x, y, moved[::2], moved[1::2])[1])
    slope = sum((g * a).sum() for g, a in zip(found, along, strict=True))
    assert (ends[0] - ends[1]) / 2e-6 == pytest.approx(slope, rel=1e-6), "central difference, and the gradient's share"


def in_order(weights, biases):
    return [part for pair in zip(weights, biases, strict=True) for part in pair]


@pytest.mark.parametrize(("loss", "n_outputs"), [("mse", 3), ("cross_entropy", 1), ("cross_entropy", 4)])
@pytest.mark.parametrize(("hidden_bias", "output_bias"), [(False, False), (False, True), (True, False)])
def test_biases_that_are_switched_off_have_no_gradient(loss, n_outputs, hidden_bias, output_bias):
    for depth in (1, 3):
        x, y, weights, biases = draw(loss, n_outputs, 2, depth, 20, 50)
        biases = [*(hidden_bias * b for b in biases[:-1]), output_bias * biases[-1]]
        found = assert_same(loss, x, y, weights, biases, hidden_bias=hidden_bias, output_bias=output_bias)
        assert all((db == 0).all() != hidden_bias for db in found[1:-1:2])
        assert (found[-1] != 0).all() if output_bias else (found[-1] == 0).all()


@pytest.mark.parametrize(("loss", "n_outputs"), [("mse", 3), ("cross_entropy", 1), ("cross_entropy", 4)])
def test_below_a_dead_layer_there_is_exactly_no_gradient(loss, n_outputs):
    for depth, dead in ((1, 0), (3, 1)):
        x, y, weights, biases = draw(loss, n_outputs, 3, depth, 20, 40)
        weights[dead], biases[dead] = -np.abs(weights[dead]), np.zeros(20)
        found = assert_same(loss, np.abs(x), y, weights, biases)
        assert all((g == 0).all() for g in found[: 2 * dead + 3]) and (found[-1] != 0).all()


def test_samples_beyond_the_last_are_not_counted():
    for loss, n_outputs in (("mse", 2), ("cross_entropy", 3)):
        x, y, weights, biases = draw(loss, n_outputs, 2, 2, 5, 9)
        assert_same(loss, x, y, weights, [b + 1e6 for b in biases])  # a sample of zeros would be as far off as any


def test_several_outputs_have_weights_where_errors_are_recorded_only():
    x, y, weights, biases = draw("mse", 3, 2, 1, 5, 9)
    shares = np.array([0.5, 2.0, 10.0])
    weighted, plain = (run("mse", x, y, weights, biases, output_weights=of) for of in (shares, None))
    squares = (layers.forward(x, weights, biases) - y) ** 2
    assert weighted[1] == pytest.approx((squares * shares).mean(), rel=1e-12)
    for one, other in zip(weighted[0], plain[0], strict=True):
        np.testing.assert_array_equal(one, other)


# ---- labels without overflow ----


def block(logits):
    """Return logits (n, O) as kernels keep them, (O, BLOCK)."""
    p = np.zeros((logits.shape[1], BLOCK))
    p[:, : len(logits)] = logits.T
    return p


ENTROPY, ENTROPY_GRADIENT, EXP = (door(f) for f in (labels.entropy, labels.entropy_gradient, labels.exp))


@pytest.mark.parametrize("scale", [1.0, 30.0, 700.0, 1e5, 1e300])
@pytest.mark.parametrize("n_outputs", [1, 2, 7])
def test_no_finite_logits_overflow(n_outputs, scale):
    rng = np.random.default_rng(n_outputs)
    p, y = rng.normal(size=(60, n_outputs)) * scale, targets(rng, 60, n_outputs)
    p[:3] = 0.0
    p[3:6, 0] = -0.0
    p[6] = -1.7e308
    loss, right = ENTROPY(block(p), y, 0, 60, n_outputs)
    expected, slopes = losses.cross_entropy(p, y)
    assert loss / 60 == pytest.approx(expected, rel=1e-12)
    assert right / 60 == losses.accuracy(p, y)
    found = block(p)
    ENTROPY_GRADIENT(found, y, 0, 60, n_outputs, 1 / 60, np.zeros(BLOCK), np.zeros(BLOCK))
    np.testing.assert_allclose(found[:, :60].T, slopes, rtol=1e-12, atol=1e-17)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("n_outputs", [1, 3])
def test_a_logit_that_is_not_finite_shows(n_outputs, bad):
    for column in range(n_outputs):
        p, y = np.ones((4, n_outputs)), np.zeros(4)
        p[2, column] = bad
        with np.errstate(invalid="ignore"):  # compiled code never warns
            loss = ENTROPY(block(p), y, 0, 4, n_outputs)[0]
        assert not np.isfinite(loss) or (bad > 0 and column == 0 and n_outputs > 1)


def test_exponentials_are_those_of_numpy():
    x = -np.concatenate([np.linspace(0.0, 708.0, 5001), np.geomspace(1e-300, 1.0, 500), [0.0]])
    found = np.array([EXP(value) for value in x])
    np.testing.assert_allclose(found, np.exp(x), rtol=5e-16)
    assert EXP(0.0) == 1.0
    assert 0.0 <= EXP(-1e308) <= 1e-307 and 0.0 <= EXP(-np.inf) <= 1e-307
    assert np.isnan(EXP(np.nan))


# ---- whole trainings ----

KINDS = [("mse", 3), ("cross_entropy", 1), ("cross_entropy", 3)]  # the loss and the number of outputs
every_kind = pytest.mark.parametrize(("loss", "n_outputs"), KINDS)
SETTINGS = [
    {"batch_size": 6, "optimizer": "adam", "lr": 0.01, "schedule": "cosine"},
    {"batch_size": 1, "lr": 0.01, "weight_decay": 0.02},
    {"optimizer": "momentum", "lr": 0.02, "weight_decay": 0.01, "schedule": "cosine", "batch_size": 19},
    {"optimizer": "adam", "lr": 0.002, "parametrization": "mup"},
    {"parametrization": "mup", "lr": 0.003, "optimizer": "momentum"},
    {"hidden_bias": False},
    {"output_bias": False, "optimizer": "adam", "lr": 0.01},
    {"hidden_lr_factor": 0.0, "weight_decay": 0.1, "batch_size": 4},
    {"output_lr_factor": 0.0, "optimizer": "adam", "weight_decay": 0.1, "lr": 0.01},
    {"hidden_lr_factor": 0.5, "output_lr_factor": 2.0},
]


def some_specs(**more):
    """Models of one to three hidden layers, every setting at each."""
    base = {"init": "fan_in", "output_bias": True, "lr": 0.05} | more
    rows = enumerate(itertools.product((1, 2, 3), SETTINGS))
    return ensemble.Specs.from_rows(
        base | settings | {"hidden_layers": depth, "seed": i, "width": (5, 17)[i % 2]} for i, (depth, settings) in rows
    )


def make_data(loss, n_outputs, d=3, n=20, **options):
    rng = np.random.default_rng([n_outputs, d, n])
    x = rng.normal(size=(n + 15, d))
    y = rng.normal(size=(len(x), n_outputs)) if loss == "mse" else targets(rng, len(x), n_outputs)
    if loss != "mse":
        y[: max(n_outputs, 2)] = np.arange(max(n_outputs, 2))  # no class is missing
    parts = {"x_test": x[n:-5], "y_test": y[n:-5], "x_val": x[-5:], "y_val": y[-5:]}
    return ensemble.Dataset(x[:n], y[:n], **parts | options)


def train(loss, n_outputs, specs, epochs=8, **options):
    given = {"data": make_data(loss, n_outputs), "engine": "dense", "progress": False, "snapshots": [3]} | options
    return ensemble.train(specs, given.pop("data"), epochs=epochs, loss=loss, **given)


def all_of(result):
    accuracies = {part: values.tobytes() for part, values in result.accuracies.items()}
    return content(result), accuracies


@every_kind
@pytest.mark.parametrize("d", [1, 2, 11])
def test_training_is_that_of_the_readable_engine(loss, n_outputs, d):
    data = make_data(loss, n_outputs, d, standardize=d == 2)
    specs = some_specs()[:: 3 if JIT_DISABLED else 1]  # every third: still every setting, and every depth
    ours, rules = (train(loss, n_outputs, specs, data=data, engine=name) for name in ("dense", "numpy"))
    for part in ("train", "test", "val"):
        np.testing.assert_allclose(ours.losses[part], rules.losses[part], rtol=1e-9)
        if loss != "mse":
            np.testing.assert_array_equal(ours.accuracies[part], rules.accuracies[part])
    for networks, others in ((ours.networks, rules.networks), (ours.snapshots[3], rules.snapshots[3])):
        np.testing.assert_allclose(networks.parameters, others.parameters, rtol=1e-8, atol=1e-10)
        p, q = networks.predict(data.x_test), others.predict(data.x_test)
        np.testing.assert_allclose(p, q, rtol=0, atol=1e-9 * np.abs(q).max())


@every_kind
def test_training_is_the_plain_reimplementation(loss, n_outputs):
    specs, data = some_specs(), make_data(loss, n_outputs, n=9)
    specs = specs[specs.parametrization == "standard"]
    start = ensemble.initialize(specs, 3, n_outputs=n_outputs)
    result = train(loss, n_outputs, specs, 3, data=data, initial=start)
    for i in range(0, len(specs), 3):
        weights = naive.parameters(start[i])
        expected = naive.train(data.x_train, data.y_train, weights, 3, specs[i]._asdict(), loss)
        for one, right in zip(naive.parameters(result.networks[i]), expected, strict=True):
            np.testing.assert_allclose(one, right, rtol=1e-8, atol=1e-10)


@pytest.mark.jit_heavy
@every_kind
def test_bits_are_the_same_alone_in_company_in_threads_and_in_any_calls(loss, n_outputs, monkeypatch):
    specs = some_specs()
    together = train(loss, n_outputs, specs, threads=1)
    assert len(np.unique(together.train_loss[:, -1])) == len(specs)
    for i in range(0, len(specs), 4):
        assert all_of(train(loss, n_outputs, specs[[i]])) == all_of(together[[i]])
    order = np.random.default_rng(0).permutation(len(specs))
    assert all_of(train(loss, n_outputs, specs[order], threads=2)) == all_of(together[order])
    monkeypatch.setattr(compiled, "CALL_SECONDS", 0.0)
    assert all_of(train(loss, n_outputs, specs)) == all_of(together)


@every_kind
def test_a_batch_of_all_samples_or_more_is_the_full_batch(loss, n_outputs):
    specs = some_specs()[[5, 15, 25]]
    assert (specs.batch_size == 0).all()
    whole = train(loss, n_outputs, specs, 4)
    for size in (20, 21):
        larger = ensemble.Specs(**specs.columns() | {"batch_size": size})
        found = train(loss, n_outputs, larger, 4)
        assert found.train_loss.tobytes() == whole.train_loss.tobytes()
        assert found.networks.parameters.tobytes() == whole.networks.parameters.tobytes()


@pytest.mark.jit_heavy
@every_kind
def test_going_on_is_one_training(loss, n_outputs):
    specs = some_specs()
    specs = specs[specs.schedule == "constant"]
    first = train(loss, n_outputs, specs, 4, keep_state=True, record=range(5), snapshots=None)
    gone_on = train(loss, n_outputs, specs, 8, initial=first, record=range(9), snapshots=None)
    assert all_of(gone_on) == all_of(train(loss, n_outputs, specs, 8, record=range(9), snapshots=None))


@pytest.mark.filterwarnings("ignore:(overflow|invalid value) encountered")
@every_kind
def test_a_diverging_model_stops_where_the_readable_engine_stops_it(loss, n_outputs):
    specs = ensemble.grid(width=8, hidden_layers=[1, 3], init="he", lr=[0.01, 1e60, 0.02], output_bias=True)
    with np.errstate(all="ignore"):
        ours, rules = (train(loss, n_outputs, specs, 12, engine=engine) for engine in ("dense", "numpy"))
    assert ours.status.tolist() == ["ok", "diverged", "ok"] * 2
    assert ours.diverged_at.tolist() == rules.diverged_at.tolist()
    for part in ours.parts:
        np.testing.assert_allclose(ours.losses[part], rules.losses[part], rtol=1e-7)
        if loss != "mse":
            np.testing.assert_array_equal(ours.accuracies[part], rules.accuracies[part])
            assert (ours.accuracies[part][1::3, -1] == 0.0).all()


@every_kind
def test_torch_takes_the_same_steps(loss, n_outputs):
    torch = pytest.importorskip("torch", reason="the extra 'torch' is not installed")
    data = make_data(loss, n_outputs)
    specs = ensemble.grid(
        width=6, hidden_layers=2, seed=4, init="fan_in", optimizer="adam", lr=0.01, batch_size=5, output_bias=True
    )
    module = ensemble.initialize(specs, 3, n_outputs=n_outputs)[0].to_torch()
    optimizer, of_torch = torch.optim.Adam(module.parameters(), lr=0.01), torch.nn.MSELoss()
    x, y = torch.from_numpy(data.x_train.copy()), torch.from_numpy(data.y_train.copy())
    if loss != "mse":
        of_torch = torch.nn.CrossEntropyLoss() if n_outputs > 1 else torch.nn.BCEWithLogitsLoss()
        y = y.long() if n_outputs > 1 else y[:, None]
    for epoch in range(10):
        for batch in ensemble.batches(4, data.n_train, 5, epoch):
            optimizer.zero_grad()
            of_torch(module(x[batch]), y[batch]).backward()
            optimizer.step()
    result = train(loss, n_outputs, specs, 10)
    assert result.train_loss[0, -1] == pytest.approx(of_torch(module(x), y).item(), rel=1e-7)
    for ours, theirs in zip(result.networks[0].state_dict().values(), module.state_dict().values(), strict=True):
        np.testing.assert_allclose(ours, theirs.numpy(), rtol=1e-6, atol=1e-8)


# ---- what it costs ----


def test_cost_grows_with_the_number_of_outputs():
    specs = ensemble.grid(width=16)
    x = np.zeros((1000, 2))
    costs = [epoch_seconds("dense", specs, ensemble.Dataset(x, np.zeros((1000, o))))[0] for o in (2, 4, 6)]
    assert costs[2] - costs[1] == pytest.approx(costs[1] - costs[0]) and costs[1] > costs[0]
    labels_of_20 = ensemble.Dataset(x, np.arange(1000) % 20.0)
    assert (
        epoch_seconds("dense", specs, labels_of_20, "cross_entropy")[0]
        > 5 * epoch_seconds("dense", specs, ensemble.Dataset(x, np.arange(1000) % 2.0), "cross_entropy")[0] / 2
    )


@pytest.mark.skipif(JIT_DISABLED, reason="nothing is compiled (NUMBA_DISABLE_JIT)")
def test_only_the_kernels_that_are_needed_are_compiled():
    code = (
        "import numpy as np, ensemble\n"
        "from ensemble.kernels import deep, dense\n"
        "for loss, outputs in (('mse', 1), ('mse', 2), ('mse', 3), ('cross_entropy', 1)):\n"
        "    data = ensemble.Dataset(np.ones((3, 2)), np.eye(3)[:, :outputs])\n"
        "    ensemble.train(ensemble.grid(width=2), data, epochs=1, loss=loss, engine='dense', progress=False)\n"
        "    print(len(dense.train_models.signatures), len(deep.train_models.signatures))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["1 0", "1 1", "1 1", "1 2"]

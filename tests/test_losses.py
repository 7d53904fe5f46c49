"""Losses, labels and several outputs: the rules, and what comes back from training through every door."""

import dataclasses
import math
import pickle

import naive
import numpy as np
import pytest
from stored import content

import ensemble
from ensemble.data import n_classes
from ensemble.networks import NetworkStack
from ensemble.rules import layers, losses

CROSS_ENTROPY = losses.LOSSES["cross_entropy"]


def points(classes=2, n=40, seed=0, **options):
    """Return two inputs with labels: angular sectors of the plane, some of them flipped."""
    random = np.random.default_rng(seed)
    x = random.normal(size=(n, 2))
    y = np.floor((np.arctan2(x[:, 1], x[:, 0]) / (2 * np.pi) + 0.5) * classes)
    y[:classes] = np.arange(classes)
    return ensemble.Dataset(x[:-10], y[:-10], x[-10:], y[-10:], **options)


def two_outputs(n=30, seed=0, **options):
    random = np.random.default_rng(seed)
    x = random.normal(size=(n, 2))
    y = np.stack([x[:, 0] ** 2, 50.0 * np.abs(x[:, 1]) + 7.0], axis=1)
    return ensemble.Dataset(x[:20], y[:20], x[20:], y[20:], **options)


SPECS = ensemble.grid(width=[3, 5], hidden_layers=[1, 2], seed=range(2), lr=0.3, init="he", output_bias=True)


# ---- the rules ----


def entropy_of_a_sample(p, label):
    """Return -log of the probability of one label, by the definition."""
    logits = [0.0, *p] if len(p) == 1 else list(p)
    top = max(logits)
    return math.log(sum(math.exp(logit - top) for logit in logits)) + top - logits[int(label)]


@pytest.mark.parametrize("outputs", [1, 3])
def test_cross_entropy_is_the_mean_of_the_definition(outputs):
    random = np.random.default_rng(outputs)
    p, y = random.normal(size=(2, 7, outputs)), random.integers(0, max(outputs, 2), 7).astype(float)
    value, _ = losses.cross_entropy(p, y)
    for m in range(2):
        assert value[m] == pytest.approx(np.mean([entropy_of_a_sample(*row) for row in zip(p[m], y, strict=True)]))


@pytest.mark.parametrize("loss", losses.LOSSES)
@pytest.mark.parametrize("outputs", [1, 2, 4])
def test_a_gradient_is_the_central_difference(loss, outputs):
    random = np.random.default_rng(outputs)
    p, one = random.normal(size=(6, outputs)), losses.LOSSES[loss]
    y = random.integers(0, max(outputs, 2), 6).astype(float) if one.takes_labels else random.normal(size=p.shape)
    if loss == "cross_entropy" and outputs == 2:
        y = random.integers(0, 2, 6).astype(float)
    _, dp = one.rule(p, y)
    for i in np.ndindex(p.shape):
        step = np.zeros_like(p)
        step[i] = 1e-6
        difference = (one.rule(p + step, y)[0] - one.rule(p - step, y)[0]) / 2e-6
        assert dp[i] == pytest.approx(difference, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("size", [1e4, 1e300])
@pytest.mark.parametrize("outputs", [1, 3])
def test_no_finite_logits_overflow(size, outputs):
    p = size * np.array([[1.0] * outputs, [-1.0] * outputs, [1.0, -1.0, 0.5][:outputs]])
    for y in ([0.0, 1.0, 1.0], [1.0, 0.0, 0.0]):
        value, dp = losses.cross_entropy(p, np.array(y))
        assert np.isfinite(value) and np.isfinite(dp).all() and (np.abs(dp) <= 1 / 3).all()
        assert np.isfinite(losses.probabilities(p)).all()


def test_probabilities_add_up_to_one_and_one_output_is_the_second_class():
    p = np.random.default_rng(0).normal(size=(5, 3))
    np.testing.assert_allclose(losses.probabilities(p).sum(axis=-1), 1.0)
    np.testing.assert_allclose(
        losses.probabilities(np.array([[0.7]])), [[1 / (1 + np.exp(0.7)), 1 / (1 + np.exp(-0.7))]]
    )


def test_accuracy_takes_the_first_of_equal_outputs_and_class_1_above_zero():
    assert losses.accuracy(np.array([[1.0, 1.0, 0.0], [0.0, 2.0, 2.0]]), np.array([0.0, 2.0])) == 0.5
    assert losses.accuracy(np.array([[0.0], [1e-9], [-1.0]]), np.array([0.0, 1.0, 1.0])) == pytest.approx(2 / 3)


@pytest.mark.parametrize("loss", losses.LOSSES)
def test_the_gradient_of_a_network_with_three_outputs_is_the_central_difference(loss):
    random = np.random.default_rng(3)
    shapes = [(2, 4), (4, 4), (4, 3)]
    weights, biases = (
        [random.normal(size=shape) for shape in shapes],
        [random.normal(size=shape[1]) for shape in shapes],
    )
    x, one = random.normal(size=(9, 2)), losses.LOSSES[loss]
    y = random.integers(0, 3, 9).astype(float) if one.takes_labels else random.normal(size=(9, 3))
    _, (dweights, dbiases) = layers.backward(x, y, weights, biases, one)
    for arrays, gradients in ((weights, dweights), (biases, dbiases)):
        for array, gradient in zip(arrays, gradients, strict=True):
            for i in np.ndindex(array.shape):
                values = []
                for step in (1e-6, -1e-6):
                    kept, array[i] = array[i], array[i] + step
                    values.append(one.rule(layers.forward(x, weights, biases), y)[0])
                    array[i] = kept
                assert gradient[i] == pytest.approx((values[0] - values[1]) / 2e-6, rel=1e-5, abs=1e-8)


# ---- training ----


@pytest.mark.parametrize("classes", [2, 3])
def test_training_on_labels_is_the_rules_step_by_step(classes):
    data, spec = points(classes), ensemble.grid(width=4, lr=0.3, init="he", output_bias=True)
    result = ensemble.train(spec, data, epochs=5, loss="cross_entropy", record=range(6), engine="numpy")
    start = ensemble.initialize(spec, 2, n_outputs=1 if classes == 2 else classes)[0]
    weights, biases = [w.copy() for w in start.weights], [b.copy() for b in start.biases]
    for epoch in range(6):
        p = layers.forward(data.x_train, weights, biases)
        value, (dweights, dbiases) = layers.backward(data.x_train, data.y_train, weights, biases, CROSS_ENTROPY)
        assert result.train_loss[0, epoch] == pytest.approx(value, rel=1e-12)
        assert result.train_accuracy[0, epoch] == losses.accuracy(p, data.y_train)
        for array, step in zip(weights + biases, dweights + dbiases, strict=True):
            array -= 0.3 * step
    np.testing.assert_allclose(result.networks[0].predict(data.x_test).reshape(10, -1), layers.forward(
        data.x_test, result.networks[0].weights, result.networks[0].biases), rtol=1e-12)  # fmt: skip


def test_one_output_is_what_it_was_and_a_network_with_more_begins_with_it():
    one, three = (ensemble.initialize(SPECS, 2, n_outputs=outputs) for outputs in (1, 3))
    for i in range(len(SPECS)):
        for array, more in zip(naive.parameters(one[i])[:-2], naive.parameters(three[i])[:-2], strict=True):
            np.testing.assert_array_equal(array, more)
        np.testing.assert_array_equal(one[i].weights[-1], three[i].weights[-1][:, :1])
        assert len(np.unique(three[i].weights[-1])) == three[i].weights[-1].size


@pytest.mark.parametrize("standardize", [False, True])
def test_the_loss_of_several_outputs_is_in_their_own_units(standardize):
    data = two_outputs(standardize=standardize)
    specs = ensemble.grid(width=6, seed=range(3), lr=1e-3)
    result = ensemble.train(specs, data, epochs=20)
    for part, x, y in (("train", data.x_train, data.y_train), ("test", data.x_test, data.y_test)):
        p = result.networks.predict(x)
        assert p.shape == (3, len(x), 2)
        np.testing.assert_allclose(result.losses[part][:, -1], ((p - y) ** 2).mean(axis=(1, 2)), rtol=1e-10)
    assert (result.train_loss[:, -1] < result.train_loss[:, 0]).all()


def test_one_column_of_y_is_the_same_as_none():
    x, y = np.arange(5.0), np.arange(5.0) ** 2
    assert ensemble.Dataset(x, y[:, None]).digest == ensemble.Dataset(x, y).digest


@pytest.mark.parametrize("loss", losses.LOSSES)
def test_labels_and_outputs_survive_run_folders_shards_and_going_on(loss, tmp_path):
    data = points(3, standardize=True) if loss == "cross_entropy" else two_outputs(standardize=True)
    options = {"loss": loss, "engine": "numpy", "keep_state": True}
    specs = ensemble.grid(width=[3, 5], optimizer=["gd", "adam"], lr=0.01, batch_size=[0, 7])
    whole = ensemble.train(specs, data, epochs=6, **options)
    half = ensemble.train(specs, data, epochs=3, store=tmp_path / "run", **options)
    for gone_on in (
        ensemble.train(specs, data, epochs=6, initial=half, **options),
        ensemble.train(specs, data, epochs=6, store=tmp_path / "run", **options),
        ensemble.load_result(tmp_path / "run"),
    ):
        assert content(gone_on) == content(whole)
        for part, values in whole.accuracies.items():
            np.testing.assert_array_equal(gone_on.accuracies[part][:, -1], values[:, -1])
    alone = ensemble.train(specs[3:4], data, epochs=6, **options)
    assert content(alone) == content(whole[3:4])
    whole.networks.save(tmp_path / "all.npz")
    again = NetworkStack.load(tmp_path / "all.npz")
    np.testing.assert_array_equal(again.predict(data.x_test), whole.networks.predict(data.x_test))


def test_the_same_y_with_another_loss_is_another_model(tmp_path):
    data = points()
    for loss in losses.LOSSES:
        assert ensemble.train(SPECS, data, epochs=1, loss=loss, store=tmp_path).trained == len(SPECS)
        assert ensemble.train(SPECS, data, epochs=1, loss=loss, store=tmp_path).trained == 0


def test_a_diverged_model_is_right_nowhere():
    result = ensemble.train(ensemble.grid(width=4, lr=[0.1, 1e80]), points(3), epochs=3, loss="cross_entropy")
    assert result.status.tolist() == ["ok", "diverged"]
    assert result.train_accuracy[1, -1] == 0.0 and np.isinf(result.train_loss[1, -1])


def test_probabilities_of_networks_and_stacks_are_the_same():
    for classes in (2, 3):
        data = points(classes)
        networks = ensemble.train(SPECS, data, epochs=2, loss="cross_entropy").networks
        found = networks.predict_proba(data.x_test)
        assert found.shape == (len(SPECS), 10, classes)
        np.testing.assert_allclose(found[3], networks[3].predict_proba(data.x_test), rtol=1e-12)


def test_a_csv_file_may_hold_several_outputs(tmp_path):
    path = tmp_path / "points.csv"
    path.write_text("a,b,c\n" + "".join(f"{i},{i * i},{-i}\n" for i in range(10)))
    data = ensemble.load_csv(path, x="a", y=["c", "b"], test_fraction=0, val_fraction=0)
    assert data.y_names == ("c", "b") and data.y_name == "c, b" and data.n_outputs == 2
    np.testing.assert_array_equal(data.y_train, np.stack([-data.x_train[:, 0], data.x_train[:, 0] ** 2], axis=1))
    assert "c" in data._repr_html_() and "output" in data._repr_html_()


# ---- what is refused ----


@pytest.mark.parametrize(
    ("y", "message"),
    [
        ([0, 1, 0.5, 1], "y_train has 0.5 in row 2"),
        ([0, 1, -1, 1], "y_train has -1 in row 2"),
        ([0, 2, 2, 0], "class 1 is missing in y_train"),
        ([0, 0, 0, 0], "class 0 alone"),
        ([[0, 1]] * 4, r"shape \(4, 2\), one column is needed"),
    ],
)
def test_what_are_no_labels_is_one_clear_error(y, message):
    data = ensemble.Dataset(np.arange(4.0), y)
    for function in (ensemble.plan, ensemble.train):
        with pytest.raises(ValueError, match=message):
            function(ensemble.grid(width=2), data, epochs=1, loss="cross_entropy")


def test_a_label_that_the_training_part_lacks_is_refused():
    data = ensemble.Dataset([0.0, 1.0], [0, 1], [0.0], [2])
    with pytest.raises(ValueError, match="y_test has 2 in row 0, but the largest label of y_train is 1"):
        ensemble.train(ensemble.grid(width=2), data, epochs=1, loss="cross_entropy")


def test_an_accuracy_without_labels_says_what_has_one():
    result = ensemble.train(ensemble.grid(width=2), points(), epochs=1)
    with pytest.raises(AttributeError, match="no test_accuracy: it minimized 'mse'; loss='cross_entropy' has it"):
        result.test_accuracy  # noqa: B018


def test_datasets_with_different_numbers_of_classes_are_trained_apart():
    specs = ensemble.grid(width=2, data=["a", "b"])
    with pytest.raises(ValueError, match="different numbers of outputs"):
        ensemble.train(specs, {"a": points(3), "b": points(4)}, epochs=1, loss="cross_entropy")


def test_classes_are_counted_once(monkeypatch):
    data = points(3)
    assert (n_classes(data), n_classes(dataclasses.replace(data, y_train=np.arange(30) % 4))) == (3, 4)
    monkeypatch.setattr(np, "unique", None)
    assert (n_classes(data), n_classes(pickle.loads(pickle.dumps(data)))) == (3, 3)


def test_networks_of_other_outputs_are_no_start():
    with pytest.raises(ValueError, match="initial holds networks of 1 outputs, the data and loss need 3"):
        ensemble.train(SPECS, points(3), epochs=1, loss="cross_entropy", initial=ensemble.initialize(SPECS, 2))

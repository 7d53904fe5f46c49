"""Pictures of results and networks that no study made: what is drawn, and what is refused."""

from dataclasses import replace

import numpy as np
import pytest

import ensemble
from ensemble import plots
from ensemble.plots.style import LOOKS
from ensemble.statistics import quartiles


@pytest.fixture(scope="module")
def data():
    return ensemble.sample("quadratic", n=60, seed=0)


@pytest.fixture(scope="module")
def result(data):
    specs = ensemble.grid(width=[2, 8], seed=range(3), lr=[0.02, 0.1], optimizer=["gd", "adam"])
    return ensemble.train(specs, data, epochs=6, progress=False)


def labels(display):
    return [text.get_text() for text in display.ax_.get_legend().get_texts()]


def test_learning_curves_of_any_result_are_medians_of_each_kind(result):
    one = result[(result.specs.lr == 0.1) & (result.specs.optimizer == "gd")]
    display = plots.learning_curves(one)
    assert labels(display) == ["width 2, lr 0.1", "width 8, lr 0.1"]
    for width, line in zip((2, 8), display.lines_, strict=True):
        np.testing.assert_array_equal(line.get_xdata(), one.epochs)
        np.testing.assert_array_equal(line.get_ydata(), np.median(one.test_loss[one.specs.width == width], axis=0))
    every = plots.learning_curves(result, part="train")
    assert labels(every)[:2] == ["width 2, lr 0.02, adam", "width 2, lr 0.02, gd"] and len(every.lines_) == 8
    assert every.ax_.get_ylabel() == "training MSE (y²)"


def test_learning_curves_can_be_grouped_and_drawn_into_axes(result):
    ax = plots.Figure().subplots()
    display = plots.learning_curves(result, by=["optimizer"], ax=ax)
    assert display.ax_ is ax and labels(display) == ["adam", "gd"]
    assert [line.get_color() for line in display.lines_] == [LOOKS["adam"][0], LOOKS["gd"][0]]
    adam = result.test_loss[result.specs.optimizer == "adam"]
    np.testing.assert_array_equal(display.lines_[0].get_ydata(), quartiles(adam.T)[1])
    assert labels(plots.learning_curves(result[:1])) == ["all models, lr 0.02"]


def test_learning_curves_say_what_was_trained_on_what(data):
    specs = ensemble.grid(width=4, seed=range(2), batch_size=8)
    result = ensemble.train(specs, ensemble.Dataset(data.x_train, data.y_train), epochs=3, progress=False)
    display = plots.learning_curves(result)
    assert (display.ax_.get_ylabel(), display.ax_.get_xlabel()) == ("training MSE (y²)", "epoch")
    other = replace(result, origin=result.origin._replace(loss="cross_entropy"))
    assert plots.learning_curves(other).ax_.get_ylabel() == "training cross entropy"
    plots.render(display.figure_, "png")


def test_curves_over_widths_have_one_line_for_each_other_kind(result):
    display = plots.width_curves(result)
    assert labels(display) == ["adam", "gd"]
    for name, line in zip(("adam", "gd"), display.lines_, strict=True):
        curve = plots.width_curves(result[result.specs.optimizer == name])
        np.testing.assert_array_equal(line.get_ydata(), curve.lines_[0].get_ydata())
        assert len(line.get_xdata()) == 2
    maps = plots.learning_rate_map(result[result.specs.optimizer == "adam"])
    assert maps.mesh_.get_array().shape == (2, 2)


def test_a_fit_is_what_the_network_predicts(result, data):
    net = result.networks[3]
    display = plots.fit(net, data)
    (line,) = display.lines_
    np.testing.assert_array_equal(line.get_ydata(), net.predict(line.get_xdata()))
    assert (line.get_xdata()[0], line.get_xdata()[-1]) == data.target.interval
    two = plots.fit({"first": net, "adam": result.networks[0]}, data, part="test")
    assert labels(two) == ["test data", "first", "adam"]
    assert two.lines_[1].get_color() == LOOKS["adam"][0]
    assert len(plots.fit([net, net], data).lines_) == 2


def test_what_cannot_be_drawn_is_named(result, data):
    plane = ensemble.Dataset(np.ones((4, 2)), np.arange(4.0))
    many = ensemble.train(ensemble.grid(width=range(1, 15)), data, epochs=1, progress=False)
    for call, message in (
        (lambda: plots.fit(result.networks[0], plane), "2 inputs"),
        (lambda: plots.fit({}, data), "networks is empty"),
        (lambda: plots.fit(result.networks[0], data, part="all"), "part 'all' is not in this data"),
        (lambda: plots.learning_curves(result, part="all"), "part 'all' is not in this result; it has train"),
        (lambda: plots.learning_curves(result, by=["depth"]), "by names 'depth'"),
        (lambda: plots.learning_curves(many), "14 kinds of model differ in width; at most 12"),
        (lambda: plots.learning_rate_map(result), "one kind of model; this result has adam, gd"),
        (lambda: plots.width_curves(result, data="x"), "data 'x' is not in this result"),
        (lambda: plots.width_curves(result[1:]), "no full grid"),
    ):
        with pytest.raises(ValueError, match=message):
            call()

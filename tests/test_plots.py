import pickle
import subprocess
import sys

import matplotlib
import numpy as np
import pytest
from conftest import SMALL
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from ensemble import plots
from ensemble.analysis import AT_FIXED, Curve, Film, Fit, LearningCurve
from ensemble.data import Dataset
from ensemble.plots import (
    FitDisplay,
    LearningCurveDisplay,
    LearningRateMapDisplay,
    WidthCurveDisplay,
)
from ensemble.plots.sheets import wrapped
from ensemble.plots.style import name_of, title_of, width_looks
from ensemble.statistics import error_band
from ensemble.studies import width_study
from ensemble.studies.bias.figures import arms_display
from ensemble.studies.width.figures import width_display

pytestmark = pytest.mark.jit_heavy  # what is tested here lies above the kernels


@pytest.fixture(scope="module")
def figures(width, bias, fit):
    """The figures of each study, by its name; drawing them takes seconds."""
    return {study.name: study.figures() for study in (width, bias, fit)}


@pytest.fixture(autouse=True)
def settings_stay():
    """No plot may change matplotlib's settings."""
    before = dict(matplotlib.rcParams)
    yield
    assert dict(matplotlib.rcParams) == before


def made_up(label="gd", test=None, validation=None):
    """Two widths, three rates, four seeds."""
    shape = (2, 3, 4)
    test = np.arange(1.0, 25.0).reshape(shape) / 100 if test is None else np.broadcast_to(test, shape)
    validation = np.ones(shape) if validation is None else np.broadcast_to(validation, shape)
    models = np.arange(24).reshape(shape)
    lrs = np.array([0.25, 0.5, 1.0])
    return Curve("d", label, {}, np.array([4, 64]), lrs, np.arange(4), models, validation, test, 2 * test)


def labels(display):
    return [text.get_text() for text in display.ax_.get_legend().get_texts()]


def area(band):
    """The lower and upper edge of a band, by x."""
    edges = {}
    for x, y in band.get_paths()[0].vertices:
        edges.setdefault(x, []).append(y)
    return {x: (min(ys), max(ys)) for x, ys in edges.items()}


def test_width_curves_show_median_band_and_single_seeds(width):
    display = width_display(width)
    assert display.plot() is display
    assert len(display.lines_) == len(display.bands_) == len(display.seeds_) == 2
    for curve, line, band, seeds in zip(width.curves(), display.lines_, display.bands_, display.seeds_, strict=True):
        median, (low, high) = curve.quartiles[1], error_band(curve.errors)[0]
        np.testing.assert_array_equal(line.get_xdata(), [2, 8, 16])
        np.testing.assert_array_equal(line.get_ydata(), median)
        assert area(band) == {w: (a, b) for w, a, b in zip((2, 8, 16), low, high, strict=True)}
        np.testing.assert_array_equal(np.sort(seeds.get_offsets()[:, 1]), np.sort(curve.errors.ravel()))
    assert (display.ax_.get_xscale(), display.ax_.get_yscale()) == ("log", "log")
    assert display.ax_.get_xlabel() == "width (hidden units)"
    assert display.ax_.get_ylabel() == "test MSE (y²)"
    assert labels(display)[:2] == ["gd", "adam"]
    assert ["one learning rate" in label or "mean of all" in label for label in labels(display)[2:]] == [True, True]
    title = display.ax_.get_legend().get_title().get_text()
    assert "median of 3 seeds (few)" in title
    assert "uncertainty (95% interval of the median)" in title
    for curve, fixed, mean in zip(width.curves(), display.fixed_lines_, display.mean_lines_, strict=True):
        np.testing.assert_array_equal(fixed.get_ydata(), np.median(curve.of(AT_FIXED), axis=1))
        np.testing.assert_array_equal(mean.get_ydata(), width.mean_prediction(curve))
    assert display.notes_ == []


def test_a_noise_variance_far_below_all_errors_does_not_flatten_them():
    far = WidthCurveDisplay([made_up()], noise_variance=1e-9).plot()
    assert far.floor_ is None
    assert far.ax_.get_ylim()[0] > 1e-3
    near = WidthCurveDisplay([made_up()], noise_variance=1e-3).plot()
    assert near.floor_.get_ydata()[0] == 1e-3
    assert "noise variance: best in the mean" in labels(near)
    assert near.ax_.get_ylim()[0] < 1e-3


def test_curves_differ_in_colour_and_marker(bias):
    lines = arms_display(bias).plot().lines_
    assert len({to_hex(line.get_color()) for line in lines}) == 4
    assert len({line.get_marker() for line in lines}) == 4


def test_diverged_seeds_are_counted_on_the_plot():
    test = np.full((2, 3, 4), 0.1)
    test[1, 0, :3] = np.inf
    curve = made_up(test=test)
    display = WidthCurveDisplay([curve], y_name="ppm").plot()
    assert [note.get_text() for note in display.notes_] == ["3/4"]
    assert display.notes_[0].get_position()[0] == 64
    assert labels(display) == ["gd (3 of 8 diverged)"]
    np.testing.assert_array_equal(display.lines_[0].get_ydata(), [0.1, np.nan])
    assert display.ax_.get_ylabel() == "test MSE (ppm²)"
    plots.render(display.figure_, "png")


def test_huge_errors_do_not_flatten_the_axis():
    display = WidthCurveDisplay([made_up(test=[1e-3, 1e-3, 1e-3, 1e300])]).plot()
    assert display.ax_.get_ylim()[1] < 1e10
    plots.render(display.figure_, "png")


@pytest.mark.parametrize("test", [np.inf, 0.0])
def test_a_plot_without_one_positive_error_can_be_drawn(test):
    display = WidthCurveDisplay([made_up(test=test)]).plot()
    plots.render(display.figure_, "png")
    plots.render(LearningRateMapDisplay(made_up(validation=test)).plot().figure_, "png")


def test_a_display_draws_into_the_axes_it_is_given(width):
    figure = Figure()
    left, right = figure.subplots(1, 2)
    display = width_display(width).plot(ax=right)
    assert display.ax_ is right
    assert display.figure_ is figure
    assert not left.has_data()


def test_fits_lie_over_the_data(width):
    curve = width.curves()[1]
    display = FitDisplay.over(width.fits(curve), width.datasets["reciprocal_sine"]).plot()
    data = width.datasets["reciprocal_sine"]
    np.testing.assert_array_equal(display.points_.get_offsets(), np.stack([data.x_train[:, 0], data.y_train], axis=1))
    assert labels(display) == ["training data", "width 2", "width 8", "width 16"]
    for fit, line in zip(width.fits(curve), display.lines_, strict=True):
        np.testing.assert_array_equal(line.get_xdata(), fit.x)
        np.testing.assert_array_equal(line.get_ydata(), fit.prediction)
    assert (display.ax_.get_xlabel(), display.ax_.get_ylabel()) == ("x", "y")


def test_a_constant_is_drawn_as_one_and_not_as_rounding():
    x = np.linspace(0, 1, 5)
    display = FitDisplay([Fit("fit", 0, 9, x, 3 + 1e-13 * x)], x, np.full(5, 3.0)).plot()
    assert np.ptp(display.ax_.get_ylim()) > 1
    exact = WidthCurveDisplay([made_up(test=1e-30)], exact=1e-20).plot()
    assert [text.get_text() for text in exact.ax_.texts] == ["every error is 0 to rounding"]
    assert exact.ax_.get_ylim()[0] > 1e-10
    data = Dataset(np.linspace(0, 1, 40)[:, None], np.full(40, 3.0))
    study = width_study(**SMALL | {"data": data, "epochs": 3}).run(progress=False)
    (figure,) = study.figures().values()
    assert "constant" in figure.get_suptitle() and "nothing to learn" in study.answer()


def test_a_line_of_a_width_is_seen_under_those_of_narrower_ones(width):
    curve = width.curves()[1]
    lines = FitDisplay.over(width.fits(curve), width.datasets["reciprocal_sine"]).plot(looks=width_looks(3)).lines_
    assert np.all(np.diff([line.get_linewidth() for line in lines]) > 0)
    assert np.all(np.diff([line.get_zorder() for line in lines]) < 0)
    assert len({line.get_color() for line in lines}) == 3
    of_epochs = LearningCurveDisplay(width.learning_curves(curve)).plot().lines_
    assert [line.get_color() for line in of_epochs] == [line.get_color() for line in lines]


def test_an_optimizer_has_its_colour_wherever_it_is_drawn(width):
    both = width_display(width).plot()
    alone = WidthCurveDisplay([width.curves()[1]]).plot()
    assert alone.lines_[0].get_color() == both.lines_[1].get_color() != both.lines_[0].get_color()
    limits = plots.LimitDisplay(width.curves()[1:], width.bounds["reciprocal_sine"]).plot()
    assert limits.lines_[0].get_color() == both.lines_[1].get_color()


def test_no_legend_lies_over_its_axes(width):
    for display in (width_display(width), LearningCurveDisplay(width.learning_curves(width.curves()[0]))):
        figure = display.plot().figure_
        plots.render(figure, "png")
        legend = display.ax_.get_legend().get_window_extent(FigureCanvasAgg(figure).get_renderer())
        assert legend.x0 >= display.ax_.get_window_extent().x1


def test_titles_are_broken_where_a_figure_ends():
    text = r"$x^2, \ t = (x + 3) / 6$: one two three four five six"
    lines = wrapped(text, 2.0, 0.1).split("\n")
    assert " ".join(lines) == text and lines[0].startswith(r"$x^2, \ t = (x + 3) / 6$") and len(lines) > 2
    assert wrapped("a\nb", 9.0, 0.1) == "a\nb"


def test_a_kink_that_jumps_is_not_drawn_in_between():
    kinks = np.array([[0, 0, 0], [0.1, 9, 0.9], [0.2, -9, 0.8], [0.3, 0.1, np.nan]])
    film = Film("d", 0, 3, np.arange(4), kinks, np.ones(3))
    display = plots.KinkFilmDisplay(film, (-1.0, 1.0)).plot()
    segments = [path.vertices for path in display.lines_.get_paths()]
    steps = np.concatenate([np.abs(np.diff(line[:, 1])) for line in segments])
    assert np.nanmax(steps) <= 0.5 and np.isfinite(steps).sum() == 3 + 0 + 1
    assert film.inside((-1.0, 1.0)) == 2 and film.inside((-1.0, 1.0), 0) == 3


def test_a_failed_fit_is_left_out_of_the_axes():
    x = np.linspace(0, 1, 5)
    fits = [Fit("fine", 0, 9, x, x), Fit("failed", 1, 9, x, x * 1e6), Fit("diverged", 2, 9, x, x * np.nan)]
    display = FitDisplay(fits, x, x, x_name="year", y_name="ppm", part="test").plot()
    assert display.ax_.get_ylim()[1] < 2
    assert labels(display)[0] == "test data"
    assert display.ax_.get_xlabel() == "year"


def test_dollars_in_own_names_are_no_formulas():
    data = Dataset(np.arange(4.0), np.arange(4.0), x_names=[r"a $\foo{$"], y_name="b $^$", name="$_$")
    assert title_of("$_$", data) == name_of("$_$").replace(" ", "_") == r"\$_\$"
    assert wrapped(r"in \$\foo{\$", 9, 0.1) == r"in \$\foo{\$"
    FitDisplay.over([], data).plot().figure_.draw_without_rendering()  # raises where a formula cannot be read


def test_a_figure_shows_itself_in_a_notebook(width):
    assert width_display(width).plot().figure_._repr_png_().startswith(b"\x89PNG")


def test_learning_curves_show_every_recorded_epoch(width):
    curve = width.curves()[0]
    display = LearningCurveDisplay(width.learning_curves(curve)).plot()
    for learning, line in zip(width.learning_curves(curve), display.lines_, strict=True):
        np.testing.assert_array_equal(line.get_xdata(), width.result.epochs)
        np.testing.assert_array_equal(line.get_ydata(), learning.quartiles[1])
    assert labels(display) == [f"width {h}, lr {lr:g}" for h, lr in zip(curve.width, curve.lr, strict=True)]
    assert display.ax_.get_xlabel() == "epoch"
    assert display.ax_.get_xlim()[0] == 0


def test_a_learning_curve_that_diverges_ends():
    quartiles = np.array([[1.0, 1.0, np.inf], [1.0, 2.0, np.inf], [1.0, np.inf, np.inf]])
    display = LearningCurveDisplay([LearningCurve(8, 0.5, np.array([0, 1, 2]), quartiles, 4, 4)]).plot()
    np.testing.assert_array_equal(display.lines_[0].get_ydata(), [1, 2, np.nan])
    assert labels(display) == ["width 8, lr 2⁻¹ (4 of 4 diverged)"]
    plots.render(display.figure_, "png")


def test_the_map_holds_medians_and_its_ridge_the_chosen_rates(width):
    curve = width.curves()[1]
    display = LearningRateMapDisplay(curve).plot()
    np.testing.assert_array_equal(display.mesh_.get_array(), curve.validation_median.T)
    np.testing.assert_array_equal(display.ridge_.get_xdata(), np.arange(3) + 0.5)
    np.testing.assert_array_equal(display.ridge_.get_ydata(), curve.lr_index + 0.5)
    assert [text.get_text() for text in display.ax_.get_xticklabels()] == ["2", "8", "16"]
    assert [text.get_text() for text in display.ax_.get_yticklabels()] == ["0.02", "0.1"]
    assert "median of 3 seeds" in display.colorbar_.ax.get_ylabel()
    assert "diverged" not in display.ax_.get_title()


def test_the_map_leaves_diverged_cells_grey():
    validation = np.full((2, 3, 4), 0.1)
    validation[0, 1] = 0.2
    validation[0, 2] = validation[1] = np.inf
    display = LearningRateMapDisplay(made_up(validation=validation)).plot()
    np.testing.assert_array_equal(display.mesh_.get_array().mask, [[False, True], [False, True], [True, True]])
    np.testing.assert_array_equal(display.ridge_.get_ydata(), [0.5, np.nan])
    assert "grey: diverged" in display.ax_.get_title()
    assert [text.get_text() for text in display.ax_.get_yticklabels()] == ["2⁻²", "2⁻¹", "2⁰"]


def test_maps_can_share_their_colours_and_one_bar():
    validation = np.array([0.1, 0.5, 2.0])[:, None] * np.ones((2, 3, 4))
    alone = LearningRateMapDisplay(made_up(validation=validation)).plot()
    assert alone.colorbar_.extend == "neither"
    display = LearningRateMapDisplay(made_up(validation=validation), limits=(0.01, 1.0)).plot()
    assert display.mesh_.get_clim() == (0.01, 1.0)
    assert display.colorbar_.extend == "max"
    inside = LearningRateMapDisplay(made_up(validation=validation), limits=(0.01, 3.0)).plot()
    assert inside.colorbar_.extend == "neither"
    without = LearningRateMapDisplay(made_up(validation=validation)).plot(colorbar=False)
    assert not hasattr(without, "colorbar_")
    assert len(without.figure_.axes) == 1


def test_the_ablation_shows_a_curve_and_a_fit_per_arm(bias, figures):
    display = arms_display(bias).plot()
    assert labels(display)[:4] == ["both biases", "hidden bias only", "output bias only", "no bias"]
    for curve, line in zip(bias.curves(), display.lines_, strict=True):
        np.testing.assert_array_equal(line.get_ydata(), curve.quartiles[1])
    for curve, ax in zip(bias.curves(), figures["bias_ablation"]["fits_by_arm"].axes, strict=True):
        (fit,) = bias.fits(curve)
        np.testing.assert_array_equal(ax.lines[0].get_ydata(), fit.prediction)
        assert ax.get_title().startswith(curve.label)
        assert f"{curve.quartiles[1, -1]:.2g}" in ax.get_title()


def test_the_fits_by_epoch_have_the_mse_in_each_title(fit, figures):
    drawn = figures["fit_target"]["fits"]
    model = int(fit.curve().typical_models[0])
    lines = [ax.get_title().split("\n") for ax in drawn.axes]
    titles = [line[0] for line in lines]
    expected = [f"epoch {e}: training MSE {fit.mse(model, e, 'train'):.3g}" for e in (0, 50, 60)]
    for e, of_all in zip((0, 50, 60), lines, strict=False):
        errors = fit.result.train_loss[:, fit.result.epochs.tolist().index(e)]
        assert of_all[1].startswith(f"median {np.median(errors):.2g}")
    (others,) = [found for found in drawn.axes[0].collections if isinstance(found, LineCollection)]
    assert len(others.get_segments()) == 4
    assert titles == [*expected, f"epoch 60: test MSE {fit.mse(model, 60, 'test'):.3g}"]
    x_test = fit.datasets["reciprocal_sine"].x_test[:, 0]
    np.testing.assert_array_equal(drawn.axes[-1].collections[0].get_offsets()[:, 0], x_test)


def test_every_figure_can_be_sent_to_a_helper(figures):
    for drawn in figures.values():
        for figure in drawn.values():
            assert len(pickle.loads(pickle.dumps(figure)).axes) == len(figure.axes)


def test_no_panel_of_any_figure_is_empty_or_unlabelled(figures):
    one_optimizer = width_study(**SMALL | {"optimizers": ["gd"]}).run(progress=False)
    for drawn in (*figures.values(), one_optimizer.figures()):
        for name, figure in drawn.items():
            assert figure.axes, name
            for ax in figure.axes:
                if ax.get_label() != "<colorbar>":
                    assert ax.has_data(), name
            assert any(ax.get_xlabel() for ax in figure.axes), name
            assert any(ax.get_ylabel() for ax in figure.axes), name


def texts_of(figure):
    """Every text that is drawn."""
    yield from (text for part in (figure, *figure.subfigs) for text in part.texts)
    for ax in figure.axes:
        yield from (ax.title, ax.xaxis.label, ax.yaxis.label, *ax.texts)
        yield from (text for legend in [ax.get_legend()] if legend for text in legend.get_texts())
        for axis in (ax.xaxis, ax.yaxis):
            low, high = sorted(axis.get_view_interval())
            ticks = (tick for tick in axis.get_major_ticks() if low <= tick.get_loc() <= high)
            yield from (label for tick in ticks for label in (tick.label1, tick.label2))


def test_no_two_texts_of_a_summary_overlap(figures):
    """Titles, labels, ticks, notes and legends, measured as drawn."""
    for study, name in (("width_study", "summary"), ("bias_ablation", "summary"), ("fit_target", "fits")):
        figure = figures[study][name]
        with matplotlib.rc_context(plots.STYLE):
            canvas = FigureCanvasAgg(figure)
            canvas.draw()
            renderer = canvas.get_renderer()
            texts = [text for text in texts_of(figure) if text.get_visible() and text.get_rotation() in (0, 90)]
            boxes = [(text.get_text(), text.get_window_extent(renderer)) for text in texts if text.get_text()]
        assert len(boxes) >= 20
        for i, (words, box) in enumerate(boxes):
            for others, other in boxes[:i]:
                assert not box.overlaps(other), (words, others)


def test_rendering_is_repeatable_and_knows_three_formats(width):
    figure = width_display(width).plot().figure_
    starts = {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}
    for suffix, start in starts.items():
        content = plots.render(figure, suffix)
        assert content.startswith(start)
        assert plots.render(figure, suffix) == content
    with pytest.raises(ValueError, match="format 'jpg' is unknown"):
        plots.render(figure, "jpg")


def test_show_hands_every_figure_to_a_window(width, figures, monkeypatch):
    from matplotlib import pyplot

    monkeypatch.setattr(pyplot, "show", lambda: shown.extend(pyplot.get_figlabels()))
    shown = []
    backend = matplotlib.get_backend()
    try:
        pyplot.switch_backend("agg")
        width.show()
        assert shown == list(figures["width_study"])
        assert pyplot.figure("summary").canvas.figure.axes
    finally:
        pyplot.close("all")
        pyplot.switch_backend(backend)


def test_the_library_alone_does_not_load_matplotlib():
    code = "import ensemble, ensemble.studies, ensemble.cli, sys; assert 'matplotlib' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)

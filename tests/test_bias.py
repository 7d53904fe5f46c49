"""The bias ablation: pairs, floors that are approached and never crossed, and the target that needs no bias."""

import csv
import dataclasses

import matplotlib
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

import ensemble
from ensemble import plots
from ensemble.analysis import difference
from ensemble.plots import PairedDifferenceDisplay
from ensemble.statistics import compare_over_widths
from ensemble.studies import bias_ablation
from ensemble.studies.bias.figures import arms_display
from ensemble.studies.bias.study import LRS, TARGETS, WIDTHS

pytestmark = pytest.mark.jit_heavy

ARMS = ["both biases", "hidden bias only", "output bias only", "no bias"]


SEEDS = 3


@pytest.fixture(scope="module")
def study():
    """The default study with fewer seeds."""
    return bias_ablation(seeds=SEEDS).run(progress=False)


@pytest.fixture(scope="module")
def figures(study):
    return study.figures()


@pytest.fixture(scope="module")
def tiny():
    return bias_ablation(TARGETS[:1], widths=[4, 8], seeds=3, lrs=[0.05], epochs=50).run(progress=False)


def against(tiny, arm, both):
    """An arm with these test errors, (2 widths, S seeds), against both biases with those."""
    curves = []
    for errors, curve in zip((arm, both), tiny.curves()[2::-2], strict=True):
        errors = np.asarray(errors, dtype=float)
        curves.append(dataclasses.replace(curve, test_loss=errors[:, None, :], seeds=np.arange(errors.shape[1])))
    return difference(*curves)


def test_the_default_study_is_as_documented():
    setup = bias_ablation()
    assert list(setup.datasets) == ["reciprocal_sine", "chirp", "soft_absolute", "absolute"]
    assert set(setup.specs.width) == set(WIDTHS) and max(WIDTHS) == 640
    assert len(np.unique(setup.specs.seed)) == 16
    np.testing.assert_allclose(np.diff(np.log2(LRS)), 0.5)


def test_arms_start_from_the_same_weights_seed_by_seed():
    start = bias_ablation(TARGETS[:1], widths=[8], seeds=3, lrs=[0.1], epochs=0).run(progress=False)
    arms = [start.result.networks[curve.chosen_models[0]].stack(8).weights[0] for curve in start.curves()]
    for arm in arms[1:]:
        np.testing.assert_array_equal(arm, arms[0])


def test_no_model_without_hidden_bias_is_below_its_floor_and_wide_ones_come_near(study):
    for data in TARGETS:
        bounds = study.bounds[data]
        for curve in study.curves(data):
            assert (curve.train_loss >= bounds.floor[:, None, None] - 1e-12).all()
            if curve.label in bounds.no_bias:
                floor = bounds.no_bias[curve.label]
                assert (curve.train_loss >= floor - 1e-12).all()
                medians = np.median(curve.of("train_loss")[curve.width >= 8], axis=1)
                assert (medians < 1.1 * floor).all(), (data, curve.label)
                assert medians[-1] < 1.02 * floor, (data, curve.label)


def test_a_learning_rate_at_the_end_of_the_grid_is_chosen_only_at_a_floor(study):
    for data in TARGETS:
        for curve in study.curves(data):
            assert not study.better_rate_possible(curve)[curve.width >= 8].any(), (data, curve.label)
    one_rate = bias_ablation(TARGETS[0], widths=[8], seeds=2, lrs=[1e-4, 2e-4], epochs=20).run(progress=False)
    assert all(one_rate.better_rate_possible(curve).all() for curve in one_rate.curves())
    assert "* at the first or last learning rate" in one_rate.outcome()


def test_the_absolute_value_needs_no_bias(study):
    noise = study.datasets["absolute"].noise_variance
    by_arm = {curve.label: curve for curve in study.curves("absolute")}
    wide = by_arm["no bias"].width >= 8
    # Without any bias the mean of the noise, 0.005, is left too: in between 1 and 4 times its variance.
    assert (by_arm["no bias"].quartiles[1, wide] < 2 * noise).all()
    assert (by_arm["output bias only"].quartiles[1, wide] < 1.1 * noise).all()
    assert by_arm["no bias"].quartiles[1, -1] < by_arm["both biases"].quartiles[1, -1]


def test_the_other_targets_need_the_hidden_bias_the_more_the_further_they_are_from_the_absolute_value(study):
    noise = study.datasets["absolute"].noise_variance
    floors = [study.bounds[data].no_bias["no bias"] for data in ("absolute", "soft_absolute", "reciprocal_sine")]
    assert floors[0] < 2 * noise < 100 * noise < floors[1] < 0.1 * floors[2]
    for data in ("reciprocal_sine", "soft_absolute"):
        lacking = {each.arm.label: each for each in study.differences(data)}
        for arm in ("output bias only", "no bias"):
            assert lacking[arm].interval[0, -1] > 30, (data, arm)
    # The chirp is hardly learned by any arm in so few epochs, so there is little to lose.
    assert all(1.05 < each.ratio[-1] < 2 for each in study.differences("chirp") if not each.arm.settings["hidden_bias"])


def test_differences_are_paired_and_stand_in_the_summary(study):
    rows = [row for row in study.summary_rows() if row["figure"] == "differences"]
    assert len(rows) == len(TARGETS) * 3 * len(WIDTHS)
    assert {row["measure"] for row in rows} == {"ratio_to_both_biases"}
    for data in TARGETS:
        both = study.curves(data)[0]
        for each in study.differences(data):
            assert each.comparisons == compare_over_widths(each.arm.errors, both.errors, both.seeds, both.seeds)
            found = [row for row in rows if row["data"] == data and row["arm"] == each.arm.label]
            # The median over seeds is that of the logarithms, so compare those.
            logs = np.median(np.log(each.arm.errors) - np.log(both.errors), axis=1)
            np.testing.assert_allclose(np.log([row["median"] for row in found]), logs, rtol=1e-9, atol=1e-12)
            differences = np.median(each.arm.errors - both.errors, axis=1)
            np.testing.assert_allclose([row["median_difference"] for row in found], differences, rtol=1e-9)
            better = np.mean(each.arm.errors < both.errors, axis=1)
            np.testing.assert_allclose([row["probability"] for row in found], better)
            for row, width in zip(found, WIDTHS, strict=True):
                assert row["width"] == width and row["seeds"] == SEEDS and row["note"] == "few"
                assert row["ci_low"] <= row["median"] <= row["ci_high"]
                assert row["difference_ci_low"] <= row["median_difference"] <= row["difference_ci_high"]
                assert row["p_value"] <= row["p_adjusted"] <= 1


@pytest.mark.parametrize("data", TARGETS)
def test_every_drawn_point_and_both_ends_of_its_bar_are_in_the_summary(study, data):
    display = PairedDifferenceDisplay(study.differences(data)).plot()
    rows = [row for row in study.summary_rows() if row["figure"] == "differences" and row["data"] == data]
    for line, bars, each in zip(display.lines_, display.bars_, display.differences, strict=True):
        of_arm = [row for row in rows if row["arm"] == each.arm.label]
        np.testing.assert_array_equal(line.get_ydata(), [row["median"] for row in of_arm])
        ends = np.array([segment[:, 1] for segment in bars.get_segments()])
        np.testing.assert_array_equal(ends, [(row["ci_low"], row["ci_high"]) for row in of_arm])


def test_difference_display(study):
    display = PairedDifferenceDisplay(study.differences()).plot()
    assert [line.get_label() for line in display.lines_] == ARMS[1:]
    assert display.beyond_ == []
    title = display.ax_.get_legend().get_title().get_text()
    assert f"{SEEDS} seeds (few)" in title and "uncertainty (95% interval of that median)" in title
    ones = [line for line in display.ax_.lines if set(line.get_ydata()) == {1}]
    assert len(ones) == 1


def test_marks_stand_for_what_is_significant_after_holm(tiny):
    rng = np.random.default_rng(0)
    both = rng.lognormal(size=(2, 10))
    apart = both * np.array([[1.0], [50.0]]) * rng.lognormal(sigma=0.1, size=(2, 10))
    found = against(tiny, apart, both)
    assert [each.significant for each in found.comparisons] == [False, True]
    display = PairedDifferenceDisplay([found]).plot()
    (mark,) = display.marks_
    assert mark.get_ydata().tolist() == [found.ratio[1]]
    assert "(few)" not in display.ax_.get_legend().get_title().get_text()
    few = against(tiny, apart[:, :5], both[:, :5])
    assert PairedDifferenceDisplay([few]).plot().marks_ == []
    assert [row["significant"] for row in few.rows("differences")] == [None, None]


def test_infinite_and_zero_ratios_are_arrows_and_not_lost(tiny):
    one = np.linspace(1, 2, 8)
    lost, exact = np.full(8, np.inf), np.zeros(8)
    for arm, both, ratios, height in (
        ([one, lost], [one, one], [1, np.inf], 0.97),
        ([one, one], [one, lost], [1, 0], 0.03),
        ([one, exact], [one, one], [1, 0], 0.03),
        ([one, one], [one, exact], [1, np.inf], 0.97),
    ):
        found = against(tiny, arm, both)
        assert found.ratio.tolist() == ratios
        display = PairedDifferenceDisplay([found]).plot()
        (arrow,) = display.beyond_
        assert arrow.get_ydata().tolist() == [height]
        plots.render(display.figure_, "png")
        assert [row["median"] for row in found.rows("differences")] == ratios
    for both in (lost, exact):  # a tie
        found = against(tiny, [one, both], [one, both])
        assert found.ratio.tolist() == [1, 1]
        assert PairedDifferenceDisplay([found]).plot().beyond_ == []
    partly = np.where(np.arange(8) < 3, np.inf, 3 * one)
    display = PairedDifferenceDisplay([against(tiny, [one, partly], [one, one])]).plot()
    plots.render(display.figure_, "png")


def test_worth_in_words(tiny):
    both = np.tile(np.linspace(1, 2, 8), (2, 1))
    assert against(tiny, 4000 * both, both).worth == "4,000x lower error [4,000, 4,000]"
    assert against(tiny, both / 4, both).worth == "4x higher error [4, 4]"
    assert against(tiny, both, both).worth.startswith("no clear difference: 1x the error without it")
    lost = np.full_like(both, np.inf)
    assert against(tiny, lost, both).worth == "infx lower error [inf, inf]"
    assert against(tiny, both, lost).worth == "infx higher error [inf, inf]"


def test_the_outcome_says_what_each_bias_is_worth(study):
    outcome = study.outcome()
    assert outcome.count(f"worth at width 640 (paired by seed, 95% interval, {SEEDS} seeds)") == len(TARGETS)
    for data in TARGETS:
        for each, bias in zip(study.differences(data), ("output bias", "hidden bias", "both biases"), strict=True):
            assert f"    {bias}: {each.worth}" in outcome
        for curve in study.curves(data):
            assert all(f"{median:.2e}" in outcome for median in curve.quartiles[1])
    assert outcome.count("% of the variance is left") == 1  # the chirp
    assert all(line == line.rstrip() for line in outcome.splitlines())


def test_the_noise_variance_is_a_line_in_the_legend(study):
    display = arms_display(study, "absolute").plot()
    assert display.floor_.get_ydata()[0] == study.datasets["absolute"].noise_variance
    words = [text.get_text() for text in display.ax_.get_legend().get_texts()]
    assert words == [*ARMS, "noise variance: best in the mean"]
    assert "uncertainty" in display.ax_.get_legend().get_title().get_text()


def test_the_figures_have_a_panel_per_target(study, figures):
    panels = {name: len(figure.axes) for name, figure in figures.items()}
    assert panels == {"summary": 8, "error_by_arm": 4, "differences": 4, "limits": 4, "fits_by_arm": 16}
    titles = [ax.get_title() for ax in figures["summary"].axes[4:]]
    lacking = [study.differences(data)[1] for data in TARGETS]
    expected = [f"with hidden bias at width 640: {each.worth}" for each in lacking]
    assert [" ".join(title.split()) for title in titles] == expected


@pytest.mark.parametrize("count", [1, *(pytest.param(n, marks=pytest.mark.slow) for n in (2, 3)), 4])
def test_the_words_of_the_summary_fit_whatever_the_number_of_targets(count, request):
    if count == len(TARGETS):
        figures = request.getfixturevalue("figures")
    elif count == 1:
        figures = request.getfixturevalue("bias").figures()
    else:
        study = bias_ablation(TARGETS[:count], widths=[2, 8], seeds=3, lrs=[0.05], epochs=5).run(progress=False)
        figures = study.figures()
    for name, figure in figures.items():
        canvas = FigureCanvasAgg(figure)
        with matplotlib.rc_context(plots.STYLE):
            figure.get_layout_engine().execute(figure)
            for legend in figure.legends:  # the words are around the panels, which need not be drawn
                legend.draw(canvas.get_renderer())
        words = [*figure.texts, *(text for each in figure.legends for text in (each.get_title(), *each.get_texts()))]
        for text in words:
            box = text.get_window_extent(canvas.get_renderer())
            assert box.x0 >= 0 and box.x1 <= figure.bbox.x1, (name, text.get_text())


def test_with_few_seeds_nothing_is_marked(tiny):
    assert all(found.significant is None for each in tiny.differences() for found in each.comparisons)
    assert PairedDifferenceDisplay(tiny.differences()).plot().marks_ == []


def test_diverged_arms_are_drawn(tmp_path):
    study = bias_ablation(TARGETS[:1], widths=[64, 128], seeds=3, lrs=[50.0], epochs=60).run(progress=False)
    assert np.isinf(study.curves()[0].errors).all()
    study.save(tmp_path)
    assert "worth at width 128" in study.outcome()
    with open(tmp_path / "summary.csv", newline="") as lines:
        rows = [row for row in csv.DictReader(lines) if row["figure"] == "differences"]
    assert len(rows) == 3 * 2
    assert {row["median"] for row in rows} <= {"1.0", "0.0"}


def test_own_data_of_several_inputs_has_differences_but_no_fits_or_limits():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((60, 2))
    data = ensemble.Dataset(x, x @ [1.0, -1.0], name="plane")
    study = bias_ablation(data, widths=[2, 4], seeds=3, lrs=[0.05], epochs=5).run(progress=False)
    figures = study.figures()
    assert set(figures) == {"summary", "error_by_arm", "differences"}
    assert [ax.get_title().split("\n")[0] for ax in figures["error_by_arm"].axes] == ["plane"]
    assert arms_display(study).plot().floor_ is None
    assert study.outcome()


def test_every_optimizer_has_its_own_figures():
    study = bias_ablation("absolute", widths=[2], seeds=2, lrs=[0.05], optimizers=["gd", "adam"], epochs=3).run(
        progress=False
    )
    names = {"summary", "error_by_arm", "differences", "limits", "fits_by_arm"}
    assert set(study.figures()) == {f"{name}-{optimizer}" for name in names for optimizer in ("gd", "adam")}

import math
from functools import partial

import numpy as np
import pytest

from ensemble.data import TARGETS, Target, get_target


def grid_of(target, n=6001):
    return np.linspace(target.low, target.high, n)


def test_the_named_targets_are_the_documented_ones():
    assert list(TARGETS) == [
        "reciprocal_sine",
        "quadratic",
        "half_sine",
        "chirp",
        "absolute",
        "soft_absolute",
        "sawtooth",
    ]
    assert all(name == target.name for name, target in TARGETS.items())


@pytest.mark.parametrize(
    ("name", "interval", "expected"),
    [
        ("reciprocal_sine", (-3.0, 3.0), lambda x: -2 / (2 + math.sin(x))),
        ("quadratic", (-1.0, 1.0), lambda x: x * x),
        ("half_sine", (0.0, math.pi), math.sin),
        ("absolute", (-3.0, 3.0), abs),
        ("soft_absolute", (-3.0, 3.0), lambda x: math.sqrt(x * x + 0.25)),
        ("chirp", (-3.0, 3.0), lambda x: math.sin(2 * math.pi * ((x + 3) / 6 + 6 * ((x + 3) / 6) ** 2))),
    ],
)
def test_a_named_target_is_its_formula_on_its_interval(name, interval, expected):
    target = get_target(name)
    assert target.interval == interval
    x = grid_of(target, 101)
    np.testing.assert_allclose(target(x), [expected(float(v)) for v in x], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", TARGETS)
def test_a_named_target_is_documented_finite_and_of_order_one(name):
    target = TARGETS[name]
    values = target(grid_of(target))
    assert target.function.__doc__
    assert target.formula.startswith("$") and target.formula.endswith("$")
    assert values.dtype == np.float64
    assert 0.5 < np.abs(values).max() <= 3.1


def test_the_chirp_has_seven_oscillations_that_quicken():
    target = TARGETS["chirp"]
    x = grid_of(target)
    values = target(x)
    rising = np.flatnonzero((values[:-1] < 0) & (values[1:] >= 0))
    assert len(rising) in (6, 7)  # the zeros at the two ends may fall on either side
    assert np.all(np.diff(x[rising], 2) < 0)


@pytest.mark.parametrize("k", [1, 2, 4, 7])
def test_a_sawtooth_has_as_many_teeth_as_it_says(k):
    """2^(k-1) teeth from 0 to 1 and back: 2^k straight pieces of slope 2^k, up and down in turn."""
    target = get_target(f"sawtooth-{k}")
    assert (target.name, target.interval) == (f"sawtooth-{k}", (0.0, 1.0))
    ends = np.arange(2**k + 1) / 2**k
    np.testing.assert_array_equal(target(ends), np.arange(2**k + 1) % 2)
    x = np.random.default_rng(0).random(500)
    place = x * 2**k
    np.testing.assert_allclose(target(x), np.abs((place + 1) % 2 - 1), atol=1e-12)


def test_the_sawtooth_without_a_number_is_the_fourth():
    x = np.linspace(0, 1, 99)
    np.testing.assert_array_equal(get_target("sawtooth")(x), get_target("sawtooth-4")(x))
    assert get_target("sawtooth").name == "sawtooth"
    for name in ("sawtooth-0", "sawtooth-21"):
        with pytest.raises(ValueError, match="k of a sawtooth must be a whole number, from 1 to 20"):
            get_target(name)
    with pytest.raises(ValueError, match="unknown target 'sawtooth-x'"):
        get_target("sawtooth-x")


def test_a_target_passes_through_and_an_interval_replaces_its_own():
    target = TARGETS["chirp"]
    assert get_target(target) is target
    narrowed = get_target("chirp", (0, 1))
    assert narrowed.interval == (0.0, 1.0)
    assert (narrowed.name, narrowed.function, narrowed.formula) == ("chirp", target.function, target.formula)
    assert TARGETS["chirp"].interval == (-3.0, 3.0)


def test_a_callable_becomes_a_target():
    def cubic(x):
        return x**3

    target = get_target(cubic)
    assert (target.name, target.interval, target.formula) == ("cubic", (-3.0, 3.0), "cubic")
    np.testing.assert_array_equal(target([1.0, 2.0]), [1.0, 8.0])
    assert get_target(lambda x: x).name == "custom"
    assert get_target(partial(np.power, 2.0)).name == "custom"
    assert get_target(np.tanh, (-1, 2)).interval == (-1.0, 2.0)


@pytest.mark.parametrize("function", [lambda x: x > 0, lambda x: np.sign(x).astype(int), lambda x: list(x)])
def test_integer_boolean_and_list_results_become_float64(function):
    values = get_target(function)(np.array([-1.0, 2.0]))
    assert values.dtype == np.float64
    assert values.shape == (2,)


def test_a_callable_cannot_change_the_points():
    def shifting(x):
        x += 1.0
        return x

    x = np.zeros(3)
    np.testing.assert_array_equal(get_target(shifting)(x), np.ones(3))
    np.testing.assert_array_equal(x, np.zeros(3))


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda x: 3.0, r"returned shape \(\) for x of shape \(3,\)"),
        (lambda x: x[:-1], r"returned shape \(2,\)"),
        (lambda x: x[:, None], r"returned shape \(3, 1\)"),
        (lambda x: x + 1j, "complex128.*real numbers"),
        (lambda x: x.astype(str), "real numbers"),
        (lambda x: 1.0 / x, "inf at x = 0.0"),
        (lambda x: np.sqrt(x), "nan at x = -1.0"),
    ],
)
def test_what_a_callable_returns_is_checked(function, message):
    with pytest.raises(ValueError, match=message):
        get_target(function)([-1.0, 0.0, 1.0])


def test_an_unknown_name_lists_the_names():
    with pytest.raises(ValueError, match="unknown target 'sine'.*reciprocal_sine, quadratic, half_sine, chirp"):
        get_target("sine")


@pytest.mark.parametrize("target", [3, None, ["chirp"]])
def test_what_is_no_target_is_refused(target):
    with pytest.raises(ValueError, match="target must be a name"):
        get_target(target)


@pytest.mark.parametrize(
    "interval",
    [
        (1, 1),
        (2, 1),
        (0, math.inf),
        (math.nan, 1),
        (-1e308, 1e308),
        (0, 1, 2),
        5,
        "12",
        ("a", "b"),
        (0, 10**400),
    ],
)
def test_a_bad_interval_is_refused(interval):
    with pytest.raises(ValueError, match="interval"):
        get_target("chirp", interval)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("", np.sin), "name"),
        ((3, np.sin), "name"),
        (("f", 3), "callable"),
        (("f", np.sin, 1.0, 0.0), "target 'f'.*low < high"),
    ],
)
def test_a_target_checks_its_fields(arguments, message):
    with pytest.raises(ValueError, match=message):
        Target(*arguments)


def test_a_target_is_frozen():
    with pytest.raises(AttributeError):
        TARGETS["chirp"].low = 0.0

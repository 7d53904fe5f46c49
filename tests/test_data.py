import copy
import hashlib
import math
import os
import pickle
import subprocess
import sys
from dataclasses import FrozenInstanceError
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ensemble.data import TARGETS, Dataset, Scale, load_csv, sample

CO2 = Path(__file__).parent / "data" / "mauna_loa_co2.csv"
quick = settings(deadline=None, derandomize=True, max_examples=40)


def arrays_of(data):
    return {f"{letter}_{part}": a for part, xy in data.parts().items() for letter, a in zip("xy", xy, strict=True)}


# --- Dataset: what is kept ---


def test_arrays_are_kept_as_read_only_contiguous_float64_copies():
    x, y = np.arange(12.0).reshape(6, 2), np.arange(6.0)
    data = Dataset(x, y, x[:2], y[:2], x[:3], y[:3])
    for array in arrays_of(data).values():
        assert array.dtype == np.float64
        assert array.flags.c_contiguous
        assert not array.flags.writeable
    x[0, 0] = y[0] = 99.0
    assert data.x_train[0, 0] == 0.0 and data.y_train[0] == 0.0
    assert (data.n_inputs, data.n_train) == (2, 6)
    assert list(data.parts()) == ["train", "val", "test"]


@pytest.mark.parametrize(
    "convert",
    [
        list,
        tuple,
        lambda a: a.astype(np.int8),
        lambda a: a.astype(np.uint64),
        lambda a: a.astype(np.float16),
        lambda a: a.astype(np.longdouble),
        lambda a: a.astype(">f4"),
        lambda a: np.repeat(a, 2)[::2],
        lambda a: a[::-1].copy()[::-1],
        lambda a: np.broadcast_to(a, a.shape),
        lambda a: np.ma.masked_array(a, mask=False),
    ],
)
def test_any_real_dtype_and_layout_gives_the_same_dataset(convert):
    x, y = np.array([3.0, 1.0, 2.0, 2.0]), np.array([1.0, 5.0, 0.0, 7.0])
    data = Dataset(convert(x), convert(y))
    assert data.x_train.shape == (4, 1)
    assert type(data.x_train) is np.ndarray
    assert data.digest == Dataset(x, y).digest


def test_fortran_order_and_a_single_sample_are_fine():
    x = np.asfortranarray(np.arange(6.0).reshape(3, 2))
    np.testing.assert_array_equal(Dataset(x, [0, 0, 0]).x_train, x)
    data = Dataset([4], [2], standardize=True)
    assert data.n_train == 1
    assert data.scale == Scale(np.array([4.0]), np.array([1.0]), 2.0, 1.0)


def test_a_dataset_is_immutable():
    data = Dataset([1, 2], [3, 4])
    with pytest.raises(FrozenInstanceError, match="x_train"):
        data.x_train = np.zeros((2, 1))
    with pytest.raises(FrozenInstanceError, match="y_train"):
        del data.y_train
    with pytest.raises(ValueError, match="read-only"):
        data.y_train[0] = 5.0


@pytest.mark.parametrize("duplicate", [lambda d: pickle.loads(pickle.dumps(d)), copy.copy, copy.deepcopy])
def test_a_copy_is_as_immutable_and_equal(duplicate):
    data = sample("chirp", n=20, seed=1).split()
    data = Dataset(*data.parts()["train"], standardize=True, name="n", target=data.target)
    again = duplicate(data)
    assert again.digest == data.digest
    assert repr(again) == repr(data)
    assert again.target == data.target
    assert not again.x_train.flags.writeable and not again.y_train.flags.writeable
    assert not again.scale.x_mean.flags.writeable and not again.scale.x_std.flags.writeable
    with pytest.raises(FrozenInstanceError, match="name"):
        again.name = "other"


def test_names_and_repr():
    data = Dataset([[1, 2], [3, 4]], [5, 6], standardize=True, name="points", y_name="height", dropped_rows=3)
    assert data.x_names == ("x0", "x1")
    assert repr(data) == (
        "<Dataset 'points': 2 train; x0, x1 -> height, standardized, 3 rows with empty cells dropped>"
    )
    assert Dataset([1], [2]).x_names == ("x",)
    assert Dataset([1], [2], x_names="year").x_names == ("year",)
    assert "9 inputs -> y" in repr(Dataset(np.zeros((1, 9)), [2]))


def test_one_output_may_be_a_column():
    x, y = [1.0, 2.0, 3.0], [4.0, 5.0, 6.0]
    column = Dataset(x, np.reshape(y, (3, 1)), x, np.reshape(y, (3, 1)))
    assert column.y_train.shape == column.y_test.shape == (3,)
    assert column.digest == Dataset(x, y, x, y).digest


def test_minus_zero_is_zero():
    data = Dataset([-0.0, 1.0], [2.0, -0.0])
    assert data.digest == Dataset([0.0, 1.0], [2.0, 0.0]).digest
    assert not np.signbit([*data.x_train[:, 0], *data.y_train]).any()


# --- Dataset: tables of pandas ---


def test_a_table_names_the_inputs_and_the_output():
    pandas = pytest.importorskip("pandas", reason="the extra 'pandas' is not installed")
    table = pandas.DataFrame({"year": [1958, 1959, 1960], "month": [3.5, 4.0, 4.5], "co2": [315.0, 316.0, 317.0]})
    data = Dataset(table[["year", "month"]], table["co2"], table[["year", "month"]][:1], table["co2"][:1])
    assert (data.x_names, data.y_name) == (("year", "month"), "co2")
    np.testing.assert_array_equal(data.x_train, [[1958, 3.5], [1959, 4.0], [1960, 4.5]])
    assert type(data.x_train) is type(data.y_test) is np.ndarray
    one = Dataset(table["year"], table[["co2"]])
    assert (one.x_names, one.y_name, one.y_train.shape) == (("year",), "co2", (3,))
    plain = Dataset(table[["year"]], table["co2"], x_names=["t"], y_name="c")
    assert (plain.x_names, plain.y_name) == (("t",), "c")
    assert Dataset(pandas.Series([1.0, 2.0]), pandas.Series([3.0, 4.0])).x_names == ("x",)
    assert Dataset(pandas.DataFrame([[1.0, 2.0]]), [3.0]).x_names == ("0", "1")


def test_tables_whose_columns_are_in_another_order_are_refused():
    pandas = pytest.importorskip("pandas", reason="the extra 'pandas' is not installed")
    table = pandas.DataFrame({"a": [1.0, 2.0], "b": [3.0, 4.0]})
    with pytest.raises(ValueError, match=r"x_test has the columns \('b', 'a'\), but x_train has \('a', 'b'\)"):
        Dataset(table, [1, 2], table[["b", "a"]], [1, 2])
    assert Dataset(table, [1, 2], table.to_numpy(), [1, 2]).n_inputs == 2
    with pytest.raises(ValueError, match="x_train has dtype object"):
        Dataset(pandas.DataFrame({"a": [1.0, None], "b": ["x", "y"]}), [1, 2])


# --- Dataset: the scale ---


def test_the_scale_comes_from_the_training_part_and_restores():
    rng = np.random.default_rng(0)
    x, y = rng.normal(5.0, 3.0, (50, 3)), rng.normal(-2.0, 0.1, 50)
    data = Dataset(x[:40], y[:40], x[40:], y[40:], standardize=True)
    standard = data.scale.inputs(data.x_train)
    np.testing.assert_allclose(standard.mean(axis=0), 0.0, atol=1e-13)
    np.testing.assert_allclose(standard.std(axis=0), 1.0, rtol=1e-13)
    np.testing.assert_allclose(data.scale.outputs(y[:40]).std(), 1.0, rtol=1e-13)
    np.testing.assert_allclose(data.scale.restore(data.scale.outputs(y)), y, rtol=1e-14)
    np.testing.assert_array_equal(data.x_test, x[40:])  # the dataset itself stays in the original units
    assert data.scale.x_mean.shape == data.scale.x_std.shape == (3,)
    assert Dataset(x, y).scale is None


def test_a_constant_column_has_standard_deviation_one():
    constant = np.full(3, 0.1)  # whose computed mean is not 0.1
    data = Dataset(np.column_stack([constant, [1.0, 2.0, 3.0]]), constant, standardize=True)
    assert data.scale.x_std[0] == 1.0 and data.scale.y_std == 1.0
    np.testing.assert_array_equal(data.scale.inputs(data.x_train)[:, 0], 0.0)
    np.testing.assert_array_equal(data.scale.outputs(data.y_train), 0.0)


@pytest.mark.parametrize("values", [[1e308, -1e308], [0.0, 5e-324]])
def test_a_column_beyond_float64_cannot_be_standardized(values):
    with pytest.raises(ValueError, match="x_train column 0 cannot be standardized"):
        Dataset(values, [0, 1], standardize=True)
    with pytest.raises(ValueError, match="y_train cannot be standardized"):
        Dataset([0, 1], values, standardize=True)
    assert Dataset(values, values).n_train == 2


@pytest.mark.parametrize("wrong", [0.0, -1.0, math.nan, math.inf])
def test_a_scale_by_nothing_is_refused(wrong):
    ones = np.ones(2)
    for scale in ((ones, np.array([1.0, wrong]), 0.0, 1.0), (ones, ones, 0.0, wrong)):
        with pytest.raises(ValueError, match="finite numbers are needed, the latter above 0"):
            Scale(*scale)
    if not math.isfinite(wrong):
        with pytest.raises(ValueError, match="a scale with means"):
            Scale(np.array([1.0, wrong]), ones, 0.0, 1.0)


# --- Dataset: the digest ---


def test_the_digest_is_the_hash_of_arrays_and_scale_only():
    x, y = [1.0, 2.0, 3.0], [4.0, 5.0, 6.0]
    base = Dataset(x, y)
    assert len(base.digest) == len(hashlib.sha256().hexdigest())
    assert base.digest == Dataset(x, y, name="other", x_names=["t"], noise_variance=1.0).digest
    different = [
        Dataset(x, y[::-1]),
        Dataset(y, x),
        Dataset([1.0, 2.0, np.nextafter(3.0, 4.0)], y),
        Dataset(x, y, x, y),
        Dataset(x, y, x_val=x, y_val=y),
        Dataset(x, y, standardize=True),
        Dataset(np.column_stack([x, x]), y),
    ]
    assert len({base.digest, *(data.digest for data in different)}) == len(different) + 1


def test_the_digest_is_the_same_in_another_process():
    code = "from ensemble.data import sample; print(sample('quadratic', n=50, seed=3).digest)"
    environment = {**os.environ, "PYTHONHASHSEED": "7"}
    root = Path(__file__).parent.parent
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root, env=environment
    )
    assert done.stdout.strip() == sample("quadratic", n=50, seed=3).digest


# --- Dataset: what is refused ---

GOOD = [1.0, 2.0, 3.0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((None, None), "x_train and y_train are None"),
        (([1, np.nan, np.inf], GOOD), "x_train has nan in row 1: every value must be finite"),
        ((GOOD, [1, 2, -np.inf]), "y_train has -inf in row 2"),
        (([[1, 2], [3, np.inf]], [1, 2]), "x_train has inf in row 1, column 1"),
        ((GOOD, GOOD, [np.nan], [1]), "x_test has nan in row 0"),
        ((GOOD, GOOD, None, None, [1], [np.nan]), "y_val has nan in row 0"),
        (([], []), "x_train is empty"),
        ((np.zeros((3, 0)), GOOD), r"x_train is empty \(shape \(3, 0\)\)"),
        ((GOOD, []), "y_train is empty"),
        ((GOOD, [1, 2]), "x_train has 3 rows, but y_train has 2"),
        ((GOOD, GOOD, [1, 2], [1]), "x_test has 2 rows, but y_test has 1"),
        ((1.0, GOOD), r"x_train has shape \(\): it must have shape \(N,\) or \(N, D\)"),
        ((np.zeros((3, 1, 1)), GOOD), r"x_train has shape \(3, 1, 1\)"),
        ((GOOD, np.zeros((3, 2)), GOOD, GOOD), "y_test has 1 columns, but y_train has 2: they must be equal"),
        ((GOOD, np.zeros((3, 1, 1))), r"y_train has shape \(3, 1, 1\): it must have shape \(N,\) or \(N, O\)"),
        ((GOOD, [[1], [2], [np.inf]]), "y_train has inf in row 2, column 0"),
        (([1j, 2, 3], GOOD), "x_train has dtype complex128: it must hold real numbers"),
        ((["1", "2", "3"], GOOD), "x_train has dtype <U1"),
        ((GOOD, np.array([1, 2, 3], dtype=object)), "y_train has dtype object"),
        ((np.array(["2020-01-01"], dtype="M8[D]"), [1]), "x_train has dtype datetime64"),
        (([[1, 2], [3]], [1, 2]), "x_train is not an array of shape"),
        ((np.ma.masked_array(GOOD, [0, 1, 0]), GOOD), "x_train has masked values"),
        ((GOOD, GOOD, GOOD), "x_test is given without y_test"),
        ((GOOD, GOOD, None, GOOD), "y_test is given without x_test"),
        ((GOOD, GOOD, None, None, GOOD), "x_val is given without y_val"),
        ((GOOD, None), "x_train is given without y_train"),
        ((GOOD, GOOD, [[1, 2]], [1]), "x_test has 2 columns, but x_train has 1"),
        ((GOOD, GOOD, None, None, [[1, 2]], [1]), "x_val has 2 columns, but x_train has 1"),
    ],
)
def test_bad_arrays_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Dataset(*arguments)


@pytest.mark.skipif(np.finfo(np.longdouble).max == np.finfo(np.float64).max, reason="long double is float64 here")
def test_a_long_double_beyond_float64_is_refused():
    with pytest.raises(ValueError, match="x_train has inf in row 0"):
        Dataset(np.array([np.longdouble("1e4000")]), [1])


@pytest.mark.parametrize(
    ("settings_", "message"),
    [
        ({"noise_variance": -1.0}, "noise_variance must be a finite number, 0 or more, not -1.0"),
        ({"noise_variance": math.inf}, "noise_variance"),
        ({"noise_variance": "1"}, "noise_variance"),
        ({"name": ""}, "name must be a non-empty string"),
        ({"name": "a\ud800"}, r"name 'a\\ud800' holds a character that cannot be written"),
        ({"standardize": 1}, "standardize must be True or False, not 1"),
        ({"y_name": 3}, "y_name must be"),
        ({"x_names": ["a", "b"]}, "x_names has 2 names, but x_train has 1 columns"),
        ({"x_names": [3]}, "x_names must be"),
        ({"dropped_rows": -1}, "dropped_rows must be a whole number"),
        ({"target": "chirp"}, "target must be a Target"),
    ],
)
def test_bad_settings_are_refused(settings_, message):
    with pytest.raises(ValueError, match=message):
        Dataset(GOOD, GOOD, **settings_)


# --- Dataset.split ---


@quick
@given(
    n=st.integers(10, 200),
    test_fraction=st.sampled_from([0.0, 0.1, 0.3, 0.5]),
    val_fraction=st.sampled_from([0.0, 0.1, 0.25, 0.4]),
    seed=st.integers(0, 2**70),
)
def test_split_deals_every_row_once_and_keeps_the_order(n, test_fraction, val_fraction, seed):
    x = np.arange(n, dtype=float)
    data = Dataset(x, -x).split(test_fraction, val_fraction, seed)
    parts = data.parts()
    assert np.array_equal(np.sort(np.concatenate([xs[:, 0] for xs, _ in parts.values()])), x)
    for xs, ys in parts.values():
        assert np.array_equal(ys, -xs[:, 0])
        assert np.all(np.diff(xs[:, 0]) > 0)
    assert len(parts["test"][1] if "test" in parts else ()) == round(n * test_fraction)
    assert len(parts["val"][1] if "val" in parts else ()) == round(n * val_fraction)
    assert data.digest == Dataset(x, -x).split(test_fraction, val_fraction, seed).digest


def test_split_keeps_existing_parts_and_every_setting():
    data = Dataset(
        np.arange(20.0),
        np.arange(20.0) ** 2,
        [7.5],
        [0.0],
        standardize=True,
        name="n",
        x_names=["a"],
        y_name="b",
        noise_variance=0.5,
        target=TARGETS["chirp"],
        dropped_rows=4,
    )
    split = data.split(0.5, 0.25, seed=3)
    np.testing.assert_array_equal(split.x_test, data.x_test)
    assert (split.n_train, len(split.y_val)) == (15, 5)
    assert (split.name, split.x_names, split.y_name, split.dropped_rows) == ("n", ("a",), "b", 4)
    assert (split.noise_variance, split.target) == (0.5, TARGETS["chirp"])
    assert split.scale.y_mean == pytest.approx(split.y_train.mean()) != data.scale.y_mean
    assert split.split(0.5, 0.5).digest == split.digest  # nothing is missing
    assert Dataset([1.0], [1.0], [2.0], [2.0], [3.0], [3.0]).split().n_train == 1


def test_split_depends_on_the_seed():
    data = Dataset(np.arange(50.0), np.zeros(50))
    assert data.split(seed=0).digest != data.split(seed=1).digest


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0.5, 0.5), "leave none of 10 training samples"),
        ((0.01, 0.2), "test_fraction=0.01 of 10 training samples comes to none"),
        ((0.2, 0.01), "val_fraction=0.01 of 10"),
        ((1.0, 0.0), "test_fraction must be below 1, not 1.0"),
        ((-0.1, 0.0), "test_fraction must be a finite number, 0 or more"),
        ((0.0, math.nan), "val_fraction"),
        ((0.2, 0.2, -1), "seed must be a whole number, 0 or more, not -1"),
        ((0.2, 0.2, 1.5), "seed"),
        ((0.2, 0.2, True), "seed"),
    ],
)
def test_a_bad_split_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Dataset(np.arange(10.0), np.zeros(10)).split(*arguments)


# --- sample ---


def test_sample_follows_the_original_in_shape():
    data = sample("reciprocal_sine", n=600, test_fraction=0.3, noise=0.01, seed=0)
    assert data.digest == sample("reciprocal_sine").digest
    assert data.x_train.shape == (420, 1) and data.x_test.shape == (180, 1) and data.x_val.shape == (180, 1)
    x = np.concatenate([data.x_train, data.x_test])[:, 0]
    y = np.concatenate([data.y_train, data.y_test])
    np.testing.assert_array_equal(np.sort(x), np.linspace(-3, 3, 600))
    noise = y + 2 / (2 + np.sin(x))
    assert -1e-15 < noise.min() < 0.0005 and 0.0095 < noise.max() < 0.01 + 1e-15
    assert noise.mean() == pytest.approx(0.005, abs=5 * 0.01 / math.sqrt(12 * 600))
    assert noise.var() == pytest.approx(data.noise_variance, rel=0.2)
    assert data.noise_variance == pytest.approx(0.01**2 / 12)
    assert (data.name, data.target, data.scale) == ("reciprocal_sine", TARGETS["reciprocal_sine"], None)


def test_validation_points_are_fresh_and_of_the_same_law():
    data = sample("chirp", n=50, noise=0.2, seed=4, n_val=4000)
    x, noise = data.x_val[:, 0], data.y_val - data.target(data.x_val[:, 0])
    assert len(x) == 4000
    assert not np.isin(x, np.linspace(-3, 3, 50)).any()
    assert x.min() >= -3 and x.max() <= 3
    assert abs(x.mean()) < 5 * math.sqrt(3 / 4000) and x.var() == pytest.approx(3.0, rel=0.1)
    assert noise.min() >= -1e-15 and noise.max() <= 0.2
    assert noise.mean() == pytest.approx(0.1, abs=0.005)


def test_each_seed_and_each_purpose_has_a_stream_of_its_own():
    base = sample("quadratic", n=100, seed=5)
    assert base.digest == sample("quadratic", n=100, seed=np.int64(5)).digest
    assert base.digest != sample("quadratic", n=100, seed=6).digest
    # Another split moves neither the noise of a point nor the validation points.
    other = sample("quadratic", n=100, seed=5, test_fraction=0.5, n_val=30)
    np.testing.assert_array_equal(base.x_val, other.x_val)

    def by_x(data):
        return dict(zip([*data.x_train[:, 0], *data.x_test[:, 0]], [*data.y_train, *data.y_test], strict=True))

    assert by_x(base) == by_x(other)


def test_parts_can_be_left_out():
    data = sample("half_sine", n=10, test_fraction=0)
    assert list(data.parts()) == ["train"]
    np.testing.assert_array_equal(data.x_train[:, 0], np.linspace(0, math.pi, 10))
    assert list(sample("half_sine", n=10, n_val=0).parts()) == ["train", "test"]
    assert list(sample("half_sine", n=10, test_fraction=0.0, n_val=3).parts()) == ["train", "val"]
    assert sample("half_sine", n=1, test_fraction=0).n_train == 1


def test_a_callable_an_interval_and_no_noise():
    data = sample(lambda x: 3 * x, n=5, test_fraction=0.0, noise=0, interval=(0, 4))
    np.testing.assert_array_equal(data.x_train[:, 0], [0, 1, 2, 3, 4])
    np.testing.assert_array_equal(data.y_train, [0, 3, 6, 9, 12])
    assert data.noise_variance == 0.0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"target": "sine"}, "unknown target 'sine'"),
        ({"target": np.log}, "target 'log' is nan at x = -3.0"),
        ({"n": 0}, "n must be a whole number, 1 or more, not 0"),
        ({"n": 2.5}, "n must be"),
        ({"test_fraction": 1.0}, "test_fraction must be below 1"),
        ({"test_fraction": -0.1}, "test_fraction"),
        ({"n": 1}, "test_fraction=0.3 of 1 points comes to none"),
        ({"n": 3, "test_fraction": 0.9}, "test_fraction=0.9 of 3 points leaves none to train on"),
        ({"noise": -1}, "noise must be a finite number, 0 or more, not -1"),
        ({"noise": math.nan}, "noise"),
        ({"noise": None}, "noise"),
        ({"noise": 10**400}, "noise"),
        ({"noise": 1e300}, "noise_variance must be a finite number"),
        ({"seed": -1}, "seed must be"),
        ({"seed": "a"}, "seed must be"),
        ({"n_val": -1}, "n_val must be a whole number, 0 or more"),
        ({"interval": (3, -3)}, "interval.*low < high"),
    ],
)
def test_a_bad_sample_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        sample(**{"target": "chirp", **arguments})


# --- load_csv ---


@pytest.fixture
def write(tmp_path):
    def write_(content, name="points.csv"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write_


def load_all(path, x="a", y="b"):
    return load_csv(path, x, y, test_fraction=0, val_fraction=0, standardize=False)


def test_the_mauna_loa_file_loads():
    data = load_csv(CO2, x=["decimal_year"], y="co2_ppm")
    kept = 2284 - 59
    assert data.dropped_rows == 59
    assert [len(y) for _, y in data.parts().values()] == [kept - 2 * 445, 445, 445]
    assert (data.name, data.x_names, data.y_name) == ("mauna_loa_co2", ("decimal_year",), "co2_ppm")
    assert 310 < data.y_train.min() < data.y_train.max() < 380
    assert np.all(np.diff(data.x_train[:, 0]) > 0)
    assert abs(data.scale.inputs(data.x_train).mean()) < 1e-10
    assert data.digest == load_csv(str(CO2), "decimal_year", "co2_ppm").digest
    assert data.digest != load_csv(CO2, "decimal_year", "co2_ppm", seed=1).digest
    assert "59 rows with empty cells dropped" in repr(data)


def test_columns_are_found_by_name_and_rows_keep_their_order(write):
    path = write("b, c ,a\n1,2,3\n4,5,6\n7,8,9\n")
    data = load_all(path, ["a", "c"], "b")
    np.testing.assert_array_equal(data.x_train, [[3, 2], [6, 5], [9, 8]])
    np.testing.assert_array_equal(data.y_train, [1, 4, 7])
    assert data.x_names == ("a", "c")
    assert data.scale is None


@pytest.mark.parametrize(
    "content",
    [
        "a,b\n1,2\n3,4",
        "\ufeffa,b\r\n1,2\r\n3,4\r\n",
        "\n a , b \n\n 1 , 2 \n   \n3,4\n\n",
        '"a","b"\n"1",2.0\n3e0,"+4"\n',
        "b,note,a\n2,\u00e9t\u00e9,1\n4,,3\n",
    ],
)
def test_spacing_quotes_line_ends_and_a_byte_order_mark_do_not_matter(write, content):
    data = load_all(write(content))
    np.testing.assert_array_equal(data.x_train, [[1], [3]])
    np.testing.assert_array_equal(data.y_train, [2, 4])
    assert data.dropped_rows == 0


def test_only_empty_cells_of_used_columns_drop_a_row(write):
    data = load_all(write("a,b,c\n1,2,\n,3,4\n5, ,6\n,,\n7,8,9\n"))
    np.testing.assert_array_equal(data.x_train, [[1], [7]])
    assert data.dropped_rows == 3


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty, but its first line must name the columns"),
        (b"\n\n", "is empty"),
        (b"a,b\n", r"no row has values in all of a, b \(0 with empty cells\)"),
        (b"a,b\n1,\n,2\n", r"no row has values in all of a, b \(2 with empty cells\)"),
        (b"a,c\n1,2\n", "no column 'b': the columns are a, c"),
        (b"a;b\n1;2\n", "no column 'a': the columns are a;b"),
        (b"a,b,a\n1,2,3\n", "line 1 names column 'a' more than once"),
        (b"a,b\n1,2\n1,x\n", "line 3, column 'b': 'x' is not a finite number"),
        (b"a,b\n1,2\n\n\n1,\nNA,\n", "line 6, column 'a': 'NA' is not a finite number"),
        (b"a,b\nnan,2\n", "line 2, column 'a': 'nan'"),
        (b"a,b\n1,-inf\n", "line 2, column 'b': '-inf'"),
        (b"a,b\n1,1e999\n", "line 2, column 'b': '1e999'"),
        (b"a,b\n1,1_0\n", "line 2, column 'b': '1_0'"),
        (b'a,b\n1,"1,5"\n', "line 2, column 'b': '1,5'"),
        (b"a,b\n1,2\n3\n", "line 3 has 1 cells, but the header has 2"),
        (b"a,b\n1,2,3\n", "line 2 has 3 cells, but the header has 2"),
        (b'a,b\n1,"2\n', "line 2 is malformed: unexpected end of data"),
        (b"a,b\n1,\xff\n", "is not UTF-8 text"),
        (b"\xff\xfea\x00,\x00b\x00", "is not UTF-8 text"),
    ],
)
def test_a_malformed_file_is_refused_with_its_path_and_place(write, content, message):
    path = write(content)
    with pytest.raises(ValueError, match=message) as caught:
        load_all(path)
    assert str(caught.value).startswith(f"{path}: ")


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"none\.csv: cannot be read: No such file"):
        load_all(tmp_path / "none.csv")
    with pytest.raises(ValueError, match="is no regular file"):
        load_all(tmp_path)


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        ([], "b", "x must be one or more column names"),
        ("a", 3, "x must be one or more column names and y too"),
        ([1], "b", "x must be one or more"),
        (["a", "a"], "b", "named twice"),
        ("b", "b", "named twice"),
    ],
)
def test_bad_columns_are_refused(write, x, y, message):
    with pytest.raises(ValueError, match=message):
        load_all(write("a,b\n1,2\n"), x, y)


def test_a_file_of_three_rows_does_not_train_on_one(write):
    path = write("a,b\n1,2\n3,4\n5,6\n")
    with pytest.raises(ValueError, match="points.csv: 3 rows leave 1 to train on with test_fraction=0.2 and val_"):
        load_csv(path, "a", "b")
    assert load_csv(path, "a", "b", val_fraction=0).n_train == 2
    with pytest.raises(ValueError, match="1 rows leave 1 to train on"):
        load_all(write("a,b\n1,2\n"))


def test_a_file_of_many_columns_loads(write):
    many = 100_000
    header, row = ",".join(f"c{i}" for i in range(many)), ",".join("1" for _ in range(many))
    path = write(f"{header}\n{row}\n{row}\n")
    data = load_all(path, [f"c{i}" for i in range(1, many)], "c0")  # minutes, where it is quadratic in the columns
    assert data.x_train.shape == (2, many - 1)
    with pytest.raises(ValueError, match=r"no column 'x': the columns are c0, c1, .*, c19 and 99,980 more") as caught:
        load_all(path, "x", "c0")
    assert len(str(caught.value)) < 1000


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes in the file system here")
def test_what_is_no_regular_file_or_too_large_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe.csv")
    with open(tmp_path / "sparse.csv", "wb") as file:
        file.truncate(100 * 10**9)
    for path, message in (
        (tmp_path / "pipe.csv", "pipe.csv is no regular file"),
        (Path("/dev/zero"), "/dev/zero is no regular file"),
        (tmp_path / "sparse.csv", "sparse.csv is too large: 100,000,000,000 bytes"),
    ):
        with pytest.raises(ValueError, match=message):
            load_all(path)
    with pytest.raises(ValueError, match="it holds a null byte"):
        load_all("points\0.csv")


def test_too_few_rows_for_the_parts_are_refused(write):
    with pytest.raises(ValueError, match="test_fraction=0.2 of 2 training samples comes to none"):
        load_csv(write("a,b\n1,2\n3,4\n"), "a", "b")


@quick
@given(
    rows=st.lists(
        st.tuples(st.floats(allow_nan=False, allow_infinity=False), st.floats(allow_nan=False, allow_infinity=False)),
        min_size=2,
        max_size=30,
    )
)
def test_a_written_file_comes_back_to_the_last_bit(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("csv") / "points.csv"
    path.write_text("a,b\n" + "".join(f"{a!r},{b!r}\n" for a, b in rows))
    data = load_all(path)
    np.testing.assert_array_equal(data.x_train[:, 0], [a for a, _ in rows])
    np.testing.assert_array_equal(data.y_train, [b for _, b in rows])


@pytest.mark.parametrize("size", [{"n": 10**13}, {"n": 2**80}, {"n_val": 10**13}])
def test_more_points_than_memory_are_refused_with_their_number(size):
    with pytest.raises(ValueError, match="a dataset of .* points needs about"):
        sample("quadratic", **size)


def test_true_is_no_amount_of_noise():
    with pytest.raises(ValueError, match="noise must be a finite number, 0 or more, not True"):
        sample("quadratic", noise=True)

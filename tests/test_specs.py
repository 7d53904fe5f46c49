import itertools
import pickle
from typing import get_args, get_type_hints

import numpy as np
import pytest

import ensemble
from ensemble import Specs, grid
from ensemble.specs import CHOICES, COLUMNS, Axes, Init, Optimizer, Parametrization, Schedule, Spec
from ensemble.system import memory

DEFAULTS = {
    "hidden_layers": 1, "seed": 0, "lr": 0.1, "optimizer": "gd", "momentum": 0.9, "beta2": 0.999,
    "schedule": "constant", "weight_decay": 0.0, "init": "normal", "init_scale": 0.1, "parametrization": "standard",
    "hidden_bias": True, "output_bias": False, "data": "data", "batch_size": 0, "hidden_lr_factor": 1.0,
    "output_lr_factor": 1.0,
}  # fmt: skip


def some():
    return grid(width=[4, 16], seed=range(3), lr=[0.1, 0.03])


# ---- grid ----


def test_the_last_axis_runs_fastest():
    specs = grid(seed=[5, 6], width=[4, 16, 64], optimizer=["gd", "adam"])
    assert len(specs) == 12
    assert specs.seed.tolist() == [5] * 6 + [6] * 6
    assert specs.width.tolist() == [4, 4, 16, 16, 64, 64] * 2
    assert specs.optimizer.tolist() == ["gd", "adam"] * 6


def test_defaults_are_the_originals():
    assert grid(width=640)[0]._asdict() == {"width": 640, **DEFAULTS}
    assert set(COLUMNS) == {"width", *DEFAULTS}


def test_columns_have_plain_types():
    kinds = {name: getattr(some(), name).dtype.kind for name in COLUMNS}
    assert kinds == {
        "width": "i", "hidden_layers": "i", "seed": "i", "lr": "f", "optimizer": "U", "momentum": "f", "beta2": "f",
        "schedule": "U", "weight_decay": "f", "init": "U", "init_scale": "f", "parametrization": "U",
        "hidden_lr_factor": "f", "output_lr_factor": "f", "batch_size": "i", "hidden_bias": "b", "output_bias": "b",
        "data": "U",
    }  # fmt: skip
    for values in some().columns().values():
        assert values.shape == (12,)


@pytest.mark.parametrize(
    "width",
    [
        [4, 16], (4, 16), range(4, 17, 12), np.array([4, 16]), np.array([4.0, 16.0]), np.array([4, 16], dtype=np.uint8),
        [4, 16.0], [np.int32(4), np.float64(16)], (w for w in [4, 16]), {4: 0, 16: 1}.keys(), map(int, ["4", "16"]),
    ],
)  # fmt: skip
def test_axes_of_any_kind(width):
    specs = grid(width=width, lr=0.5)
    assert specs.width.tolist() == [4, 16]
    assert specs.width.dtype == np.int64


@pytest.mark.parametrize("width", [4, 4.0, np.int8(4), np.float32(4), np.array(4), np.array([4])])
def test_one_value_is_an_axis_of_one(width):
    assert grid(width=width) == grid(width=[4])


def test_flags_and_names():
    assert grid(width=1, hidden_bias=[True, False, 1, 0, np.bool_(True)]).hidden_bias.tolist() == [
        True, False, True, False, True,
    ]  # fmt: skip
    assert grid(width=1, data=["a", "bcd"]).data.tolist() == ["a", "bcd"]
    assert grid(width=1, data=np.str_("north")).data.tolist() == ["north"]
    assert grid(width=1, optimizer=np.array(["adam", "gd"])).optimizer.tolist() == ["adam", "gd"]


def test_extreme_values_that_are_allowed():
    specs = grid(width=[1, 2**31 - 1], seed=[0, 2**63 - 1], lr=[5e-324, 1e308], momentum=0, beta2=0, init_scale=0)
    assert specs.seed.max() == 2**63 - 1
    assert specs.lr.min() == 5e-324


# ---- what is refused ----

BAD = {
    "width": [0, -3, 1.5, np.nan, np.inf, 2**31, True, "4", None, 1 + 2j],
    "hidden_layers": [0, -1, 1.5, np.nan, 1001, True, "2", None],
    "seed": [-1, 1.5, np.nan, 2**63, 2.0**63, 2**70, True, "0", None],
    "lr": [0, -0.1, np.nan, np.inf, -np.inf, True, "0.1", None, 1j],
    "hidden_lr_factor": [-0.1, np.nan, np.inf, True, "1", None],
    "output_lr_factor": [-1e-300, np.nan, np.inf, False, "1", None],
    "momentum": [-0.1, 1, 1.5, np.nan, "0.9"],
    "beta2": [-0.1, 1, 1.5, np.nan, "0.9"],
    "weight_decay": [-1e-9, np.nan, np.inf, "0"],
    "batch_size": [-1, 1.5, np.nan, np.inf, 2**31, True, "32", None],
    "init_scale": [-0.1, np.nan, np.inf, None],
    "parametrization": ["mu-P", 1, None, ""],
    "optimizer": ["sgd", "GD", "", 0, None, True],
    "schedule": ["linear", 1, None],
    "init": ["xavier", 2.0, None],
    "hidden_bias": [2, -1, 1.0, "yes", None, np.nan],
    "output_bias": [2, -1, 0.0, "no", None],
    "data": ["", 3, None, b"data"],
}
WANTED = {
    "width": r"a whole number in \[1, ",
    "hidden_layers": r"a whole number in \[1, 1000\]",
    "seed": r"a whole number in \[0, ",
    "lr": r"a finite number in \(0, inf\)",
    "hidden_lr_factor": r"a finite number in \[0, inf\)",
    "output_lr_factor": r"a finite number in \[0, inf\)",
    "momentum": r"a finite number in \[0, 1\)",
    "beta2": r"a finite number in \[0, 1\)",
    "weight_decay": r"a finite number in \[0, inf\)",
    "batch_size": r"a whole number in \[0, ",
    "init_scale": r"a finite number in \[0, inf\)",
    "parametrization": "allowed are standard, mup",
    "optimizer": "allowed are gd, momentum, adam",
    "schedule": "allowed are constant, cosine",
    "init": "allowed are normal, he, uniform, fan_in",
    "hidden_bias": "True or False",
    "output_bias": "True or False",
    "data": "names of datasets",
}


def test_every_column_has_its_bad_values():
    assert set(BAD) == set(WANTED) == set(COLUMNS)


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in BAD.items() for value in values])
def test_bad_values_are_named(name, value):
    good = {"width": 4, **DEFAULTS}[name]
    for values in (value, [value], [good, value]):
        if values is not value and isinstance(values[0], str) and name == "data":
            continue  # NumPy makes text of what stands beside text
        if isinstance(value, bool) and values == [good, value] and not isinstance(good, str):
            continue  # and a number of a bool beside numbers
        with pytest.raises(ValueError, match=WANTED[name]) as caught:
            grid(**{"width": 4, name: values})
        assert name in str(caught.value)
        if isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e9:
            assert str(value) in str(caught.value)
        with pytest.raises(ValueError, match=WANTED[name]):
            Specs(**{"width": [4], name: values})


@pytest.mark.parametrize("make", [grid, Specs])
def test_unknown_and_missing_columns(make):
    with pytest.raises(ValueError, match="unknown column 'widht'; the columns are width, hidden_layers, seed, lr"):
        make(widht=[4])
    with pytest.raises(ValueError, match="unknown column 'learning_rate'"):
        make(width=[4], learning_rate=[0.1])
    with pytest.raises(ValueError, match="column 'width' is missing"):
        make(seed=[1, 2])
    with pytest.raises(ValueError, match="column 'width' is missing"):
        make()


@pytest.mark.parametrize("empty", [[], (), range(0), np.array([]), iter(())])
def test_empty_axes(empty):
    with pytest.raises(ValueError, match="axis 'lr' is empty; give at least one value"):
        grid(width=4, lr=empty)


@pytest.mark.parametrize("make", [grid, Specs])
def test_nested_values(make):
    with pytest.raises(ValueError, match=r"column 'width' has shape \(1, 2\)"):
        make(width=[[4, 16]])


@pytest.mark.parametrize(
    ("axes", "size"),
    [
        ({"width": range(1, 10**4 + 1), "seed": range(10**4), "lr": np.geomspace(1e-5, 1, 10**4)}, "1,000,000,000,000"),
        ({"width": 4, "seed": range(10**12)}, "1,000,000,000,000"),
        ({"width": 4, "seed": range(10**9), "hidden_bias": [True, False]}, "2,000,000,000"),
    ],
)
def test_a_grid_too_large_is_refused_with_its_size_before_it_is_made(axes, size):
    with pytest.raises(ValueError, match=f"a grid of .* = {size} models is too large; at most 1,000,000,000"):
        grid(**axes)


def test_a_grid_that_does_not_fit_in_memory_is_refused(monkeypatch):
    monkeypatch.setattr(memory, "available", lambda: 10**9)
    with pytest.raises(ValueError, match="a grid of 1 x 100,000,000 = 100,000,000 models needs about 20 GB of memory"):
        grid(width=4, seed=range(10**8))
    assert len(grid(width=4, seed=range(10**4))) == 10**4


def test_an_axis_without_an_end_is_refused():
    with pytest.raises(ValueError, match="axis 'seed' has more than 1,000,000,000 values"):
        grid(width=4, seed=range(2**70))
    with pytest.raises(ValueError, match="axis 'lr' has more than 10,000,000 values"):
        grid(width=4, lr=itertools.repeat(0.1))


def test_a_name_that_cannot_be_written_is_refused():
    with pytest.raises(ValueError, match="column 'data' .* holds a character that cannot be written"):
        grid(width=4, data=["a", "\ud800"])


# ---- what type checkers and programs are told ----


def test_the_columns_are_the_same_wherever_they_are_written():
    assert tuple(COLUMNS) == tuple(Axes.__annotations__) == Spec._fields
    kinds = {"integer": int, "real": float, "flag": bool, "choice": str, "name": str}
    assert get_type_hints(Spec) == {name: kinds[column.kind] for name, column in COLUMNS.items()}


def test_the_choices_are_the_same_wherever_they_are_written():
    literals = {"optimizer": Optimizer, "schedule": Schedule, "init": Init, "parametrization": Parametrization}
    assert {name: get_args(literal) for name, literal in literals.items()} == CHOICES


# ---- rows ----


def test_rows_lead_back_to_the_specs():
    specs = some() + grid(width=2, optimizer="adam", data="north", hidden_bias=False)
    assert Specs.from_rows(list(specs)) == specs
    assert Specs.from_rows(row._asdict() for row in specs) == specs
    assert Specs.from_rows([]) == some()[:0]


def test_rows_may_leave_out_what_is_at_its_default():
    specs = Specs.from_rows([{"width": 4}, {"lr": 0.5, "width": 8}])
    assert specs == grid(width=4) + grid(width=8, lr=0.5)


def test_bad_rows_are_named():
    with pytest.raises(ValueError, match="unknown column 'widht'; the columns are width"):
        Specs.from_rows([{"width": 4}, {"width": 3, "widht": 4}])
    with pytest.raises(ValueError, match="column 'width' is missing"):
        Specs.from_rows([{"width": 4}, {"seed": 4}])
    with pytest.raises(ValueError, match="row 1 is a int; a dict of settings or a Spec is needed"):
        Specs.from_rows([{"width": 4}, 7])
    with pytest.raises(ValueError, match="optimizer 'sdg' is unknown"):
        Specs.from_rows([{"width": 4, "optimizer": "sdg"}])


@pytest.mark.parametrize("kind", [object, "string", "category", None])
def test_a_table_of_settings_gives_specs(kind):
    pandas = pytest.importorskip("pandas", reason="the extra 'pandas' is not installed")
    specs = grid(width=[4, 16], optimizer=["adam", "gd"], data=["a", "bcd"], hidden_bias=[True, False])
    table = pandas.DataFrame(specs.columns())
    if kind is not None:
        textual = ("optimizer", "data") if kind == "string" else ("width", "optimizer", "data", "hidden_bias")
        table = table.astype({name: kind for name in textual})
    assert Specs.from_rows(table) == specs
    assert Specs.from_rows(table[["width", "data"]]) == Specs(width=specs.width, data=specs.data)
    with pytest.raises(ValueError, match="unknown column 'learning_rate'"):
        Specs.from_rows(table.rename(columns={"lr": "learning_rate"}))


# ---- Specs ----


def test_columns_are_broadcast():
    specs = Specs(width=[4, 8, 16], seed=7, lr=[0.1], optimizer="adam")
    assert specs.seed.tolist() == [7, 7, 7]
    assert specs.optimizer.tolist() == ["adam"] * 3
    assert Specs(width=3, seed=[1, 2]).width.tolist() == [3, 3]
    with pytest.raises(ValueError, match="column 'seed' has 2 rows, but others have 3"):
        Specs(width=[1, 2, 3], seed=[1, 2])


def test_specs_of_no_model():
    for empty in (Specs(width=[]), Specs(width=[], seed=[], data=[], hidden_bias=[], optimizer=[]), some()[:0]):
        assert len(empty) == 0
        assert list(empty) == []
        assert (empty + some()) == some()
        assert repr(empty) == "<Specs of 0 models>"


@pytest.mark.parametrize(
    "index",
    [
        slice(None), slice(2, 9, 3), slice(None, None, -1), slice(0, 0), slice(-3, None), [3, 1, 3, -1], [],
        np.array([0, 11]), np.arange(12) % 3 == 0, [True] + [False] * 11, np.array([], dtype=int), range(2, 5), (1, 2),
    ],
)  # fmt: skip
def test_indexing_is_numpys(index):
    specs = some()
    picked = specs[index]
    assert isinstance(picked, Specs)
    array_index = index if isinstance(index, slice) else np.asarray(index, dtype=None if len(index) else int)
    assert picked.seed.tolist() == specs.seed[array_index].tolist()
    assert picked.lr.tolist() == specs.lr[array_index].tolist()
    assert picked.data.tolist() == specs.data[array_index].tolist()


@pytest.mark.parametrize("index", [0, 5, 11, -1, -12, np.int64(3), np.uint8(4)])
def test_an_integer_gives_one_row(index):
    specs, one = some(), some()[index]
    assert isinstance(one, Spec)
    assert {name: getattr(one, name) for name in COLUMNS} == {
        name: values[index].item() for name, values in specs.columns().items()
    }


def test_indices_out_of_range():
    for index in (12, -13):
        with pytest.raises(IndexError, match=f"model {index} of 12"):
            some()[index]
    for index in ([12], np.array([True]), "lr"):
        with pytest.raises(IndexError):
            some()[index]


@pytest.mark.parametrize("index", [np.array([[0, 1]]), np.zeros((12, 1), dtype=bool)])
def test_an_index_of_two_dimensions_is_refused(index):
    with pytest.raises(IndexError, match="dimension"):
        some()[index]


def test_iteration_gives_rows():
    specs = some()
    rows = list(specs)
    assert len(rows) == 12
    assert rows == [specs[i] for i in range(12)]
    assert Specs.from_rows(rows) == specs


def test_joining():
    left, right = some(), grid(width=7, data="another", optimizer="adam")
    both = left + right
    assert len(both) == 13
    assert both[:12] == left and both[12:] == right
    assert both.data[0] == "data" and both.data[-1] == "another"
    assert (left + right) + left == left + (right + left)
    with pytest.raises(TypeError):
        left + 3


def test_equality():
    assert some() == grid(width=[4, 16], seed=[0, 1, 2], lr=[0.1, 0.03])
    assert some() != some()[:-1]
    assert some() != some()[::-1]
    assert some() != 3
    for name in DEFAULTS:
        other = CHOICES[name][1] if name in CHOICES else {"data": "b"}.get(name, 0.5)
        other = {"hidden_layers": 2, "seed": 1, "batch_size": 3, "hidden_bias": False, "output_bias": True}.get(
            name, other
        )
        assert grid(width=4, **{name: other}) != grid(width=4), name
        assert grid(width=4, **{name: other}).digest != grid(width=4).digest, name
    with pytest.raises(TypeError, match="unhashable"):
        hash(some())


def test_digest_is_of_the_rows_in_order():
    specs = some()
    assert len(specs.digest) == 64
    assert specs.digest == some().digest == specs[np.arange(12)].digest == specs[::-1][::-1].digest
    assert specs.digest != specs[::-1].digest
    assert specs.digest != specs[:-1].digest
    # The room that NumPy keeps for a longer name elsewhere is no part of it.
    longer = specs + grid(width=1, data="a long name of a dataset")
    assert longer[:12].digest == specs.digest
    assert grid(width=1, data="á").digest != grid(width=1, data="a").digest


def test_minus_zero_is_zero():
    for name in ("weight_decay", "init_scale", "momentum", "beta2"):
        assert grid(width=1, **{name: -0.0}).digest == grid(width=1, **{name: 0.0}).digest


def test_pickling():
    specs = pickle.loads(pickle.dumps(some()))
    assert specs == some()
    assert specs.digest == some().digest
    with pytest.raises(ValueError, match="read-only"):
        specs.lr[0] = 1.0


def test_specs_are_read_only_and_keep_their_own_copy():
    width = np.array([4, 16])
    specs = grid(width=width)
    width[0] = 99
    assert specs.width.tolist() == [4, 16]
    taken = Specs(width=width)
    width[0] = 98
    assert taken.width.tolist() == [99, 16]
    for values in (specs.width, specs[:1].lr, specs[[0]].seed, (specs + specs).data, Specs(width=3).hidden_bias):
        with pytest.raises(ValueError, match="read-only"):
            values[0] = values[0]
    with pytest.raises(AttributeError):
        specs.width = [1, 2]


def test_unknown_attributes():
    with pytest.raises(AttributeError, match="no column 'widht'; the columns are width"):
        some().widht  # noqa: B018
    assert {"width", "lr", "digest"} <= set(dir(some()))


def test_what_varies():
    assert some().varying() == ["width", "seed", "lr"]
    assert grid(width=4).varying() == []
    assert some()[:0].varying() == []
    assert repr(some()) == "<Specs of 12 models; width: 4, 16; seed: 0, 1, 2; lr: 0.03, 0.1>"
    assert repr(grid(width=range(1, 9))) == "<Specs of 8 models; width: 1, 2, 3, 4, ...>"
    assert repr(grid(width=3)) == "<Specs of 1 model>"


def test_rows_are_plain_values():
    row = some()[-1]._asdict()
    assert row == {"width": 16, **DEFAULTS, "seed": 2, "lr": 0.03}
    assert {type(value) for value in row.values()} == {int, float, str, bool}


def test_a_large_grid_is_quick_to_index():
    specs = grid(width=range(1, 101), seed=range(1000))
    assert len(specs) == 100_000
    assert len(specs[specs.width == 16]) == 1000
    assert ensemble.Specs is Specs


def test_half_precision_is_a_number_like_others():
    assert grid(width=np.array([4], dtype=np.float16), lr=np.float16(0.5)) == grid(width=4, lr=0.5)


def test_masked_values_are_refused():
    with pytest.raises(ValueError, match="column 'lr' has masked values"):
        grid(width=4, lr=np.ma.array([0.1, 0.2], mask=[False, True]))


def test_the_value_that_is_wrong_is_the_one_named():
    with pytest.raises(ValueError, match="width None is not allowed"):
        grid(width=[4, None])

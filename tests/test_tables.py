"""Results as DataFrames and Datasets: every number where it belongs, and back from files without loss."""

import sys

import numpy as np
import pytest

import ensemble
from ensemble.specs import COLUMNS, RESULT_COLUMNS

pandas = pytest.importorskip("pandas", reason="the extra 'pandas' is not installed")
xarray = pytest.importorskip("xarray", reason="the extra 'xarray' is not installed")


@pytest.fixture(scope="module")
def result():
    data = ensemble.sample("quadratic", n=60, seed=0)
    specs = ensemble.grid(
        optimizer=["gd", "adam"], lr=[0.1, 1e10], hidden_bias=[True, False], width=[2, 5], seed=[3, 1]
    )
    return ensemble.train(specs, data, epochs=12, record=[0, 3], progress=False)


def test_one_row_per_model(result):
    table = result.to_pandas()
    assert len(table) == len(result)
    for name, values in result.specs.columns().items():
        np.testing.assert_array_equal(table[name].to_numpy(), values)
    np.testing.assert_array_equal(table.train_loss.to_numpy(), result.train_loss[:, -1])
    np.testing.assert_array_equal(table.test_loss.to_numpy(), result.test_loss[:, -1])
    np.testing.assert_array_equal(table.status.to_numpy(dtype=str), result.status)
    assert set(table.status) == {"ok", "diverged"}


def test_a_table_leads_back_to_the_specs(result):
    table = result.to_pandas()
    assert set(table.columns) == {*COLUMNS, *RESULT_COLUMNS}
    assert ensemble.Specs.from_rows(table) == result.specs
    assert ensemble.Specs.from_rows(table[table.status == "ok"]) == result[result.status == "ok"].specs
    assert ensemble.Specs.from_rows(table.astype({"optimizer": object, "data": object})) == result.specs
    with pytest.raises(ValueError, match="unknown column 'epoch'"):  # a model would be there once per epoch
        ensemble.Specs.from_rows(result.to_pandas(epochs=True))


def test_one_row_per_model_and_epoch(result):
    table = result.to_pandas(epochs=True)
    assert len(table) == len(result) * 3
    for model, epoch in ((0, 0), (7, 3), (31, 12)):
        row = table[(table.model == model) & (table.epoch == epoch)].iloc[0]
        assert row.train_loss == result.train_loss[model, list(result.epochs).index(epoch)]
        assert row.width == result.specs.width[model]


def test_the_cube_has_the_grids_own_axes(result):
    cube = result.to_xarray()
    assert cube.train_loss.dims == ("width", "seed", "lr", "optimizer", "hidden_bias", "epoch")
    specs = result.specs
    for model in range(len(specs)):
        row = specs[model]._asdict()
        cell = cube.sel({name: row[name] for name in cube.train_loss.dims[:-1]})
        np.testing.assert_array_equal(cell.train_loss.to_numpy(), result.train_loss[model])
        assert int(cell.diverged_at) == result.diverged_at[model]
    assert cube.attrs["momentum"] == 0.9
    assert cube.attrs["output_bias"] == 0


def test_specs_that_are_no_grid_have_one_axis(result):
    data = ensemble.sample("quadratic", n=60, seed=0)
    specs = ensemble.grid(width=[2, 3], seed=range(2)) + ensemble.grid(width=9, lr=0.2)
    cube = ensemble.train(specs, data, epochs=2, progress=False).to_xarray()
    assert cube.train_loss.dims == ("model", "epoch")
    np.testing.assert_array_equal(cube.width.to_numpy(), specs.width)
    one = ensemble.train(specs[:1], data, epochs=2, progress=False).to_xarray()
    assert one.train_loss.dims == ("model", "epoch")


def test_netcdf_and_parquet_lose_nothing(result, tmp_path):
    pytest.importorskip("h5netcdf", reason="the extra 'xarray' is not installed")
    pytest.importorskip("pyarrow", reason="the extra 'pandas' is not installed")
    cube = result.to_xarray()
    cube.to_netcdf(tmp_path / "result.nc", engine="h5netcdf")
    with xarray.open_dataset(tmp_path / "result.nc", engine="h5netcdf") as again:
        xarray.testing.assert_identical(again.load(), cube)
    table = result.to_pandas(epochs=True)
    table.to_parquet(tmp_path / "result.parquet")
    pandas.testing.assert_frame_equal(pandas.read_parquet(tmp_path / "result.parquet"), table, check_exact=True)


@pytest.mark.parametrize(("module", "call"), [("pandas", "to_pandas"), ("xarray", "to_xarray")])
def test_a_missing_extra_is_named(result, monkeypatch, module, call):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=rf"pip install 'relu-ensemble\[{module}\]'"):
        getattr(result, call)()


# Notebooks


def test_notebooks_show_tables(result):
    for shown in (result, result.specs, result.networks):
        page = shown._repr_html_()
        assert page.count("<tr>") == page.count("</tr>") > 1
        assert "<table>" in page
    assert "32 models" in result._repr_html_()
    many = ensemble.grid(width=range(1, 60))
    assert "and 29 rows more" in ensemble.initialize(many)._repr_html_()


def test_what_users_name_is_escaped():
    specs = ensemble.grid(width=2, data=["<script>", "b"])
    assert "<script>" not in specs._repr_html_()
    assert "&lt;script&gt;" in specs._repr_html_()

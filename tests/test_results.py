"""What training leaves: parts of the data, models picked out, and which of them this call trained."""

import numpy as np
import pytest

import ensemble


@pytest.fixture(scope="module")
def result():
    data = ensemble.sample("quadratic", n=40, seed=0)
    specs = ensemble.grid(width=[2, 5], lr=[0.1, 1e10], seed=range(3))
    return ensemble.train(specs, data, epochs=9, record=[0, 3], snapshots=[4], progress=False)


def only(*parts):
    """Return data with these parts beside the training part."""
    x, y = np.linspace(-1, 1, 9), np.linspace(0, 1, 9)
    return ensemble.Dataset(x, y, **{f"x_{part}": x for part in parts}, **{f"y_{part}": y for part in parts})


def test_parts_say_which_losses_there_are(result):
    assert result.parts == ("train", "val", "test")
    for part in result.parts:
        assert getattr(result, f"{part}_loss") is result.losses[part]


@pytest.mark.parametrize("parts", [(), ("test",), ("val",)])
def test_a_part_that_is_not_there_is_one_clear_error(parts):
    result = ensemble.train(ensemble.grid(width=2), only(*parts), epochs=1)
    assert result.parts == ("train", *parts)
    for part in ("val", "test"):
        if part in parts:
            assert result.losses[part].shape == (1, 2)
            continue
        with pytest.raises(AttributeError, match=f"no {part}_loss; the data have the parts: {', '.join(result.parts)}"):
            getattr(result, f"{part}_loss")


@pytest.mark.parametrize(
    "index", [slice(3, 9, 2), [7, 0, 7], np.arange(12) % 3 == 0, np.array([], dtype=int), [False] * 12, slice(0, 0)]
)
def test_a_mask_a_slice_or_integers_give_the_result_of_those_models(result, index):
    models = np.arange(12)[index]
    picked = result[index]
    assert isinstance(picked, ensemble.Result)
    assert len(picked) == picked.trained == len(models)
    assert picked.specs == result.specs[models]
    assert picked.parts == result.parts
    for part in result.parts:
        np.testing.assert_array_equal(picked.losses[part], result.losses[part][models])
    np.testing.assert_array_equal(picked.epochs, result.epochs)
    np.testing.assert_array_equal(picked.diverged_at, result.diverged_at[models])
    np.testing.assert_array_equal(picked.status, result.status[models])
    if len(models):
        x = np.linspace(-1, 1, 7)
        np.testing.assert_array_equal(picked.networks.predict(x), result.networks.predict(x)[models])
        np.testing.assert_array_equal(picked.snapshots[4].predict(x), result.snapshots[4].predict(x)[models])
        assert repr(picked).startswith(f"<Result of {len(models)} models after 9 epochs")


def test_models_picked_from_a_result_without_networks():
    specs = ensemble.grid(width=[2, 3])
    result = ensemble.train(specs, only(), epochs=1, keep_networks=False)[specs.width == 3]
    assert result.specs.width.tolist() == [3]
    assert not hasattr(result, "networks")


def test_a_result_of_no_models_shows(result):
    assert "0 models" in repr(result[:0])
    assert "width" in result[:0]._repr_html_()


def test_an_index_that_picks_no_models_is_named(result):
    with pytest.raises(IndexError, match=r"a result of one model is result\[3:4\]; its network is networks\[3\]"):
        result[3]
    with pytest.raises(IndexError):
        result[[12]]
    with pytest.raises(IndexError):
        result[np.array([True])]
    with pytest.raises(IndexError, match="an index of 2 dimensions"):
        result[np.zeros((12, 1), dtype=bool)]


def test_a_result_says_how_many_models_this_call_trained(tmp_path):
    specs, data = ensemble.grid(width=2, seed=range(5)), only()
    assert ensemble.train(specs[:3], data, epochs=1).trained == 3
    assert ensemble.train(specs[:3], data, epochs=1, store=tmp_path).trained == 3
    more = ensemble.train(specs, data, epochs=1, store=tmp_path)
    assert more.trained == 2
    assert more.fresh.tolist() == [False] * 3 + [True] * 2
    assert ensemble.train(specs, data, epochs=1, store=tmp_path).trained == 0
    assert ensemble.load_result(tmp_path).trained == 0


def test_a_result_of_no_models_is_an_empty_xarray():
    pytest.importorskip("xarray")
    result = ensemble.train(ensemble.grid(width=[2, 3]), ensemble.sample("quadratic", n=20), epochs=2)
    assert dict(result[[]].to_xarray().sizes) == {"model": 0, "epoch": 3}

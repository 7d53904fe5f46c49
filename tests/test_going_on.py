"""Going on: from a result or in a run folder to the bits of one run, what that needs, and ending a run early."""

import threading
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import numpy as np
import pytest
from stored import chunk_files, content, make_data, models_kept

import ensemble
from ensemble import store
from ensemble.engines import REGISTRY, State, run_chunk, state_bytes
from ensemble.store import chunks
from ensemble.system import archive
from ensemble.training import planning, running

ENGINES = [("spline", 1), ("pieces", 1), ("dense", 1), ("numpy", 1), ("dense", 3), ("numpy", 3)]
pytestmark = pytest.mark.jit_heavy  # kernels that begin at a later epoch run in their own tests, too
every_engine = pytest.mark.parametrize(("engine", "d"), ENGINES)


def specs_of(optimizers=("gd", "momentum", "adam"), **axes):
    return ensemble.grid(**{"width": [7, 3], "optimizer": list(optimizers), "lr": 0.02, "seed": [0, 1]} | axes)


def train(specs, epochs, d=1, **options):
    return ensemble.train(specs, options.pop("data", make_data(d)), epochs=epochs, **({"progress": False} | options))


@pytest.fixture
def begun(monkeypatch):
    """Collect the epoch at which each chunk of the following runs starts, with how many models it has."""
    found = []

    def watched(specs, data, engine, settings, start, *rest):
        found.append((0 if start is None else start.epoch, len(specs)))
        return run_chunk(specs, data, engine, settings, start, *rest)

    monkeypatch.setattr(running, "run_chunk", watched)
    return found


def models_from(begun):
    """Return how many models started at each epoch."""
    counts = {}
    for epoch, models in begun:
        counts[epoch] = counts.get(epoch, 0) + models
    begun.clear()
    return counts


# ---- from a result ----


@every_engine
@pytest.mark.parametrize("layers", [1, [2, 1, 3]])
def test_history_state_and_networks_are_those_of_one_run(engine, d, layers):
    specs = specs_of(hidden_layers=layers, hidden_bias=[True, False], seed=0)
    given = {"engine": engine, "keep_state": True}
    if layers != 1 and REGISTRY[engine].most_hidden_layers == 1:
        pytest.skip("the engine trains one hidden layer")
    one = train(specs, 18, d, record=range(19), snapshots=[2, 6, 10, 18], **given)
    half = train(specs, 6, d, record=[1, 3], snapshots=[2], **given)
    whole = train(specs, 18, d, record=[3, 10, 15], snapshots=[6, 10, 18], initial=half, **given)
    assert whole.epochs.tolist() == [0, 1, 3, 6, 10, 15, 18]  # what the first has recorded is kept
    for part, values in whole.losses.items():
        np.testing.assert_array_equal(values, one.losses[part][:, whole.epochs])
    assert sorted(whole.snapshots) == [2, 6, 10, 18]
    for epoch, networks in whole.snapshots.items():
        np.testing.assert_array_equal(networks.parameters, one.snapshots[epoch].parameters)
    np.testing.assert_array_equal(whole.networks.parameters, one.networks.parameters)
    assert whole.state.arrays().keys() == one.state.arrays().keys() == {"first", "second", "powers"}
    for name, values in whole.state.arrays().items():
        np.testing.assert_array_equal(values, one.state.arrays()[name])
        assert values.any()
    assert whole.trained == len(specs)


@pytest.mark.parametrize("d", [1, 2])
def test_batches_and_rates_per_layer_go_on(d):
    """The order of batches is the seed's and the epoch's own, so that there is nothing to remember of it."""
    specs = specs_of(batch_size=[5, 0, 23], hidden_lr_factor=[1.0, 0.0])
    one = train(specs, 12, d)
    assert content(train(specs, 12, d, initial=train(specs, 5, d, keep_state=True))) == content(one)


def test_by_default_all_is_kept_that_was_recorded():
    specs = specs_of(["gd"])
    half, one = train(specs, 100), train(specs, 300)
    whole = train(specs, 300, initial=half)
    assert whole.epochs.tolist() == sorted({*half.epochs.tolist(), *one.epochs.tolist()})
    both = np.isin(whole.epochs, one.epochs)
    np.testing.assert_array_equal(whole.train_loss[:, both], one.train_loss)


@every_engine
def test_what_was_gone_on_from_stays_as_it_was(engine, d):
    half = train(specs_of(), 6, d, engine=engine, keep_state=True, snapshots=[6])
    before = content(half), {name: values.tobytes() for name, values in half.state.arrays().items()}
    train(specs_of(), 12, d, engine=engine, initial=half)
    assert before == (content(half), {name: values.tobytes() for name, values in half.state.arrays().items()})


def test_no_more_epochs_give_the_result_itself():
    half = train(specs_of() + ensemble.grid(width=3, schedule="cosine"), 6, keep_state=True, snapshots=[2])
    same = train(half.specs, 6, initial=half, keep_state=True)
    assert content(same) == content(half)
    assert same.state.arrays()["first"].tobytes() == half.state.arrays()["first"].tobytes()


def test_some_models_of_a_result_go_on_by_themselves():
    """A round of successive halving: the better half, in the order of their errors."""
    half = train(specs_of(), 8, keep_state=True)
    best = np.argsort(half.val_loss[:, -1])[:5]
    rest = train(half.specs[best], 16, initial=half[best])
    assert content(rest) == content(train(specs_of(), 16)[best])


@pytest.mark.filterwarnings("ignore:(overflow|invalid value) encountered")
@every_engine
def test_a_diverged_model_stays_so(engine, d):
    specs = specs_of(["gd"]) + ensemble.grid(width=4, lr=1e10) + specs_of(["gd"], init="he")
    one, half = (train(specs, epochs, d, engine=engine) for epochs in (40, 10))
    whole = train(specs, 40, d, engine=engine, initial=half, record=range(11, 40))
    assert half.status[4] == whole.status[4] == "diverged"
    assert (whole.diverged_at == one.diverged_at).all()
    assert (whole.train_loss[4, whole.epochs >= half.diverged_at[4]] == np.inf).all()
    np.testing.assert_array_equal(whole.networks.parameters, one.networks.parameters)


def test_networks_alone_start_at_epoch_0_without_memory():
    half = train(specs_of(), 6, keep_state=True)
    fresh = train(specs_of(), 6, initial=half.networks)
    assert fresh.epochs[0] == 0 and fresh.epochs[-1] == 6
    np.testing.assert_array_equal(fresh.train_loss[:, 0], half.train_loss[:, -1])
    gd = half.specs.optimizer == "gd"
    longer = train(specs_of(), 12)
    assert (fresh.train_loss[:, -1] == longer.train_loss[:, -1])[gd].all()
    assert (fresh.train_loss[:, -1] != longer.train_loss[:, -1])[~gd].all()


def test_standardized_and_several_datasets_go_on():
    data = {"a": make_data(standardize=True), "b": ensemble.Dataset(np.arange(5.0), np.arange(5.0))}
    specs = specs_of(data=["b", "a"])
    one = train(specs, 12, data=data, keep_state=True)
    whole = train(specs, 12, data=data, initial=train(specs, 5, data=data, keep_state=True))
    assert content(whole) == content(one)
    assert np.isnan(whole.test_loss[specs.data == "b"]).all()


def test_a_plan_of_going_on_costs_what_is_left():
    specs, data = specs_of(), make_data()
    half = train(specs, 1000, keep_state=True)
    whole, rest = (ensemble.plan(specs, data, epochs=4000, initial=initial) for initial in (None, half))
    seconds = planning._INITIALIZE_SECONDS * len(specs)
    assert rest.cost - seconds == pytest.approx(0.75 * (whole.cost - seconds))
    assert rest.epochs == 4000
    assert rest.memory > whole.memory
    lean = ensemble.plan(specs, data, epochs=10)
    state = ensemble.plan(specs, data, epochs=10, keep_state=True)
    assert state.kept - lean.kept == state_bytes(specs, 1) > 0


# ---- what is one clear error ----


def refused(change, words, half=None, epochs=12):
    half = train(specs_of(), 6, keep_state=True, record=[4], snapshots=[5]) if half is None else half
    given = {"specs": half.specs, "data": make_data(), "initial": half, "epochs": epochs} | change
    for call in (ensemble.train, ensemble.plan):
        with pytest.raises(ValueError, match=f"initial cannot be gone on with to the bits of one run: {words}"):
            call(**given)


def changed(specs, **columns):
    return ensemble.Specs(**specs.columns() | columns)


REFUSED = {
    "another column": ({"specs": changed(specs_of(), lr=0.03)}, r"specs\[0\] has lr 0.03, it was trained with 0.02"),
    "one model of another seed": (
        {"specs": changed(specs_of(), seed=[0, 1] * 5 + [0, 7])}, r"specs\[11\] has seed 7, it was trained with 1",
    ),
    "another optimizer": (
        {"specs": changed(specs_of(), optimizer="gd")}, r"specs\[2\] has optimizer 'gd', it was trained with 'momentum'"
    ),
    "fewer models": ({"specs": specs_of()[1:]}, r"it holds 12 models, the specs 11; result\[mask\]"),
    "other data": ({"data": make_data(seed=1)}, "the dataset 'data' is not the one that it was trained on"),
    "data in other units": ({"data": make_data(standardize=True)}, "the dataset 'data' is not the one"),
    "another engine": (
        {"engine": "dense"}, r"specs\[0\] was trained by the engine 'spline', now it would be 'dense'.*engine='spline'"
    ),
    "fewer epochs": ({"epochs": 5}, "it is at epoch 6, and epochs, the total, is 5"),
    "an epoch that was not recorded": ({"record": [3, 9]}, "record names epoch 3, before its last, 6"),
    "a snapshot that was not kept": ({"snapshots": [2, 9]}, "snapshots names epoch 2, before its last, 6"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_would_give_other_bits_is_one_clear_error(name):
    refused(*REFUSED[name])


def test_what_is_missing_is_one_clear_error():
    refused({}, r"it has no state of the optimizer 'momentum' of specs\[2\]; train it with keep_state=True",
            train(specs_of(), 6))  # fmt: skip
    refused({}, "it has no networks: it was trained with keep_networks=False",
            train(specs_of(), 6, keep_state=True, keep_networks=False))  # fmt: skip
    refused({}, r"the schedule 'cosine' of specs\[2\] depends on the number of epochs, which was 6; train all 12",
            train(ensemble.grid(seed=[0, 1], width=3) + ensemble.grid(width=3, schedule="cosine"), 6))  # fmt: skip


def test_gd_needs_no_state():
    half = train(specs_of(["gd"]), 6)
    assert half.state is None
    assert train(specs_of(["gd"]), 6, keep_state=True).state.arrays() == {}
    assert content(train(half.specs, 12, initial=half)) == content(train(half.specs, 12))


def test_what_is_kept_is_asked_for_by_a_flag():
    for name in ("keep_state", "keep_networks"):
        with pytest.raises(ValueError, match=f"{name} must be True or False, not 1"):
            train(specs_of(), 1, **{name: 1})


# ---- in a run folder ----


def test_more_epochs_go_on_from_the_furthest_that_is_there(tmp_path, begun):
    specs = specs_of()
    for epochs, start in ((5, 0), (9, 5), (30, 9), (20, 9)):
        result = train(specs, epochs, store=tmp_path, keep_state=True, record=range(min(epochs, 9) + 1))
        assert models_from(begun) == {start: 12}
        expected = train(specs, epochs, record=range(min(epochs, 9) + 1))
        begun.clear()
        assert content(result) == content(expected) == content(store.load_result(tmp_path))
        assert result.trained == 12
    assert models_kept(tmp_path) == 4 * 12  # nothing is lost
    for epochs in (5, 9, 20, 30):
        assert train(specs, epochs, store=tmp_path, keep_state=True, record=range(min(epochs, 9) + 1)).trained == 0
    assert store.verify(tmp_path).problems == ()


def test_what_needs_no_state_goes_on_without_and_the_rest_is_trained_from_the_start(tmp_path, begun):
    specs = specs_of() + ensemble.grid(width=5, schedule="cosine")
    train(specs, 10, store=tmp_path)
    begun.clear()
    whole = train(specs, 20, store=tmp_path)
    assert models_from(begun) == {0: 9, 10: 4}
    assert content(whole) == content(train(specs, 20))


@pytest.mark.parametrize(
    ("before", "now", "start"),
    [
        ({}, {}, 10),
        ({"keep_networks": False}, {}, 0),
        ({"record": [3]}, {"record": [3, 12]}, 10),
        ({"record": [3]}, {"record": [4]}, 0),
        ({"snapshots": [4]}, {"snapshots": [4, 10, 15]}, 10),
        ({}, {"snapshots": [4]}, 0),
        ({}, {"data": make_data(seed=1)}, 0),
        ({}, {"engine": "dense"}, 0),
        ({"keep_state": False}, {}, 0),
    ],
)
def test_what_a_longer_run_needs_of_a_shorter_one(before, now, start, tmp_path, begun):
    specs = specs_of(["adam"])
    train(specs, 10, store=tmp_path, **{"keep_state": True} | before)
    begun.clear()
    whole = train(specs, 20, store=tmp_path, **now)
    assert models_from(begun) == {start: 4}
    assert content(whole) == content(train(specs, 20, **now))


def test_fewer_epochs_are_taken_from_a_longer_run_that_kept_them(tmp_path):
    specs = specs_of()
    train(specs, 20, record=range(21), snapshots=[4, 8], store=tmp_path, keep_state=True)
    for given, trained in (
        ({"snapshots": [4]}, 0),
        ({"keep_networks": False}, 0),
        ({"snapshots": [4, 8]}, 0),
        ({"keep_state": True}, 8),  # that of gd is nothing
        ({"snapshots": [2]}, 12),
    ):
        found = train(specs, 8, store=tmp_path, **given)
        assert found.trained == trained, given
        assert content(found) == content(train(specs, 8, **given)) == content(store.load_result(tmp_path))
        store.clear(tmp_path)
        train(specs, 20, record=range(21), snapshots=[4, 8], store=tmp_path, keep_state=True)
    assert train(specs, 7, store=tmp_path).trained == 12  # its networks were not kept
    assert train(specs, 7, store=tmp_path, keep_networks=False).trained == 0
    cosine = ensemble.grid(width=3, schedule="cosine")
    train(cosine, 20, record=range(21), snapshots=[8], store=tmp_path)
    assert train(cosine, 8, store=tmp_path).trained == 1


@pytest.mark.filterwarnings("ignore:(overflow|invalid value) encountered")
def test_a_model_that_diverges_later_is_none_that_has(tmp_path):
    specs = ensemble.grid(width=4, lr=[1.0, 3.0, 1e10], seed=range(6))
    longer = train(specs, 300, record=[4], snapshots=[4], store=tmp_path, engine="numpy")
    assert {True, False} == set((longer.diverged_at > 4).tolist()) and (longer.diverged_at == -1).any()
    found = train(specs, 4, record=[], store=tmp_path, engine="numpy")
    assert found.trained == 0
    assert content(found) == content(train(specs, 4, record=[], engine="numpy"))


def test_a_result_is_gone_on_with_from_the_folder_where_that_is_further(tmp_path, begun):
    specs = specs_of()
    half = train(specs, 5, keep_state=True)
    train(specs[::2], 9, keep_state=True, store=tmp_path)
    begun.clear()
    whole = train(specs, 12, initial=half, store=tmp_path)
    assert models_from(begun) == {5: 6, 9: 6}
    assert content(whole) == content(train(specs, 12))
    begun.clear()
    given = ensemble.initialize(specs, 1)
    given.parameters[:] *= 2
    other = train(specs, 5, keep_state=True, initial=given)
    rest = train(specs, 12, initial=other, store=tmp_path)  # started elsewhere: another model
    assert content(rest) == content(train(specs, 12, initial=given))
    assert train(specs, 12, initial=given, store=tmp_path).trained == 0


def test_another_version_is_not_gone_on_with(tmp_path, begun, monkeypatch, capsys):
    specs, made = specs_of(), chunks.made_here()
    with monkeypatch.context() as patch:
        patch.setattr(chunks, "made_here", lambda: made | {"versions": made["versions"] | {"numba": "0.1"}})
        train(specs, 5, keep_state=True, store=tmp_path)
    begun.clear()
    capsys.readouterr()
    whole = train(specs, 12, store=tmp_path)
    assert models_from(begun) == {0: 12}
    said = capsys.readouterr().err
    assert said.count("made with numba 0.1") == 1 and "trained from the start, not gone on with" in said
    assert content(whole) == content(train(specs, 12))


def test_a_result_that_another_version_made_is_not_gone_on_with(tmp_path, monkeypatch):
    made = chunks.made_here()
    with monkeypatch.context() as patch:
        patch.setattr(chunks, "made_here", lambda: made | {"versions": made["versions"] | {"numba": "0.1"}})
        train(specs_of(), 6, keep_state=True, store=tmp_path)
    for loaded in (store.load_result(tmp_path), train(specs_of(), 6, keep_state=True, store=tmp_path)):
        refused({}, "it comes from a run folder and was made with numba 0.1, not", loaded[2:])


def test_a_damaged_shorter_run_is_not_gone_on_with(tmp_path, begun, monkeypatch, capsys):
    monkeypatch.setattr(planning, "CHUNKS_PER_RUN", 2)
    specs = specs_of()
    train(specs, 5, keep_state=True, store=tmp_path)
    damaged = chunk_files(tmp_path)[0]
    lost = len(archive.read(damaged, chunks.KINDS)["diverged_at"])
    damaged.write_bytes(damaged.read_bytes()[:-7])
    begun.clear()
    whole = train(specs, 12, store=tmp_path)
    assert models_from(begun) == {0: lost, 5: 12 - lost}
    assert str(damaged) in capsys.readouterr().err
    assert content(whole) == content(train(specs, 12))


@pytest.mark.parametrize("name", ["state_first", "state_second", "state_powers"])
def test_a_chunk_without_its_state_is_damaged(name, tmp_path):
    """Its hash is right, but it says that it keeps what is not there, or is there in another shape."""
    train(specs_of(["adam"]), 5, keep_state=True, store=tmp_path)
    path = chunk_files(tmp_path)[0]
    whole = archive.read(path, chunks.KINDS)
    less = {key: values for key, values in whole.items() if key != name}
    for wrong in (less, less | {name: whole[name][1:]}, less | {name: whole[name].astype(np.float32)}):
        path.write_bytes(archive.dump(wrong))
        assert f"the state's {name[6:]!r} is missing, or has another shape" in store.verify(tmp_path).problems[0]
    path.write_bytes(archive.dump(whole))
    assert store.verify(tmp_path).problems == ()


def test_the_state_is_loaded_with_its_result(tmp_path):
    specs = specs_of()
    kept = train(specs, 9, keep_state=True, store=tmp_path)
    loaded = store.load_result(tmp_path)
    assert kept.state.arrays().keys() == loaded.state.arrays().keys()
    for name, values in kept.state.arrays().items():
        np.testing.assert_array_equal(values, loaded.state.arrays()[name])
    assert content(train(specs, 20, initial=loaded)) == content(train(specs, 20))
    train(specs, 9, store=tmp_path)  # not asked for again
    assert store.load_result(tmp_path).state is None


def test_runs_that_are_merged_bring_their_state(tmp_path, begun):
    specs = specs_of()
    for part in (0, 1):
        train(specs[part::2], 5, keep_state=True, store=tmp_path / str(part))
    train(specs[1::2], 9, keep_state=True, store=tmp_path / "1")
    train(specs[1::2], 5, keep_state=True, store=tmp_path / "1")
    store.merge([tmp_path / "0", tmp_path / "1"], tmp_path / "all")
    begun.clear()
    whole = train(specs, 12, store=tmp_path / "all")
    assert models_from(begun) == {5: 6, 9: 6}  # the longer training came along
    assert content(whole) == content(train(specs, 12))
    train(specs[::2], 5, store=tmp_path / "0")
    with pytest.raises(store.OtherRunError, match="keep_state False, not True"):
        store.merge([tmp_path / "0", tmp_path / "1"], tmp_path / "other")


# ---- what the caller sees while it runs ----


@pytest.fixture
def many_chunks(monkeypatch):
    monkeypatch.setattr(planning, "CHUNK_SECONDS", 1e-9)  # one for each model


def test_each_chunk_is_reported_when_it_is_finished(many_chunks, tmp_path):
    specs, seen, threads = specs_of(), [], set()

    def on_chunk(index, rows):
        threads.add(threading.current_thread())
        seen.append((index, rows))
        assert len(chunk_files(tmp_path)) >= len(seen)  # it is on disk before it is reported

    result = train(specs, 9, snapshots=[4], keep_state=True, store=tmp_path, on_chunk=on_chunk)
    assert threads == {threading.main_thread()}
    assert sorted(np.concatenate([index for index, _ in seen]).tolist()) == list(range(12))
    for index, rows in seen:
        assert content(rows) == content(result[index]) and rows.specs == specs[index]
        assert rows.parts == ("train", "val", "test") and rows.status.tolist() == ["ok"]
        for array in (rows.train_loss, rows.diverged_at, rows.networks.parameters, rows.snapshots[4].parameters, index):
            with pytest.raises(ValueError, match="read-only"):
                array[...] = 0
    seen.clear()
    train(specs, 9, snapshots=[4], store=tmp_path, on_chunk=on_chunk)
    assert seen == []  # they came from the folder


@pytest.mark.parametrize("where", ["threads", "pool of threads", "nowhere"])
def test_an_exception_in_the_report_ends_the_run_and_keeps_what_is_finished(where, many_chunks, tmp_path):
    specs, seen = specs_of(), []

    def on_chunk(index, rows):
        seen.append(index)
        if len(seen) == 3:
            raise KeyError("tracker")

    with ThreadPoolExecutor(2) as pool:
        where = {"threads": {"threads": 2}, "pool of threads": {"executor": pool}, "nowhere": {}}[where]
        given = where | {"store": tmp_path} if where else {}
        with pytest.raises(KeyError, match="tracker"):
            train(specs, 9, on_chunk=on_chunk, **given)
    assert len(seen) == 3  # it is not called again
    if given:
        done = store.verify(tmp_path).done
        assert 3 <= done <= 12
        assert done < 12 or "executor" in given  # which may have finished all by then
        again = train(specs, 9, store=tmp_path)
        assert again.trained == 12 - done and content(again) == content(train(specs, 9))


def test_a_report_that_is_no_function_and_a_stop_that_is_no_event_are_named():
    with pytest.raises(ValueError, match="on_chunk is 3; a function of"):
        train(specs_of(), 1, on_chunk=3)
    with pytest.raises(ValueError, match="stop is True; a threading.Event is needed"):
        train(specs_of(), 1, stop=True)


def stop_after(chunks_seen, stop):
    """Return a report that sets the event when so many chunks are finished."""
    left = [chunks_seen]

    def on_chunk(index, rows):
        left[0] -= 1
        if not left[0]:
            stop.set()

    return on_chunk


@pytest.mark.parametrize("stored", [True, False])
def test_a_run_that_is_stopped_says_how_far_it_came_and_how_to_go_on(stored, many_chunks, tmp_path):
    specs, stop = specs_of(), threading.Event()
    where = {"store": tmp_path} if stored else {}
    with pytest.raises(ensemble.StoppedError) as caught:
        train(specs, 9, stop=stop, on_chunk=stop_after(2, stop), threads=1, **where)
    done, found = caught.value.done, caught.value.result
    assert 2 <= done.sum() < 12
    assert found.specs == specs[done] and content(found) == content(train(specs, 9)[done])
    words = f"store={str(tmp_path)!r} again" if stored else r"specs\[~error.done\] are left to train"
    assert str(caught.value).startswith(f"training was stopped: {done.sum()} of 12 models are finished")
    assert words in str(caught.value).replace("[", r"\[").replace("]", r"\]")
    assert stop.is_set()  # it is the caller's
    rest = train(specs, 9, **where)
    assert rest.trained == (12 - done.sum() if stored else 12)
    assert content(rest) == content(train(specs, 9))


def test_a_stop_before_the_first_chunk_and_one_after_the_last(tmp_path):
    specs, stop = specs_of(), threading.Event()
    stop.set()
    with pytest.raises(ensemble.StoppedError, match="0 of 12 models are finished") as caught:
        train(specs, 9, stop=stop)
    assert len(caught.value.result) == 0 and not caught.value.done.any()
    train(specs, 9, store=tmp_path)
    assert len(train(specs, 9, store=tmp_path, stop=stop)) == 12  # all is there
    late = threading.Event()
    assert len(train(specs[:1], 9, stop=late, on_chunk=lambda index, rows: late.set())) == 1


@pytest.mark.parametrize("elsewhere", [False, True])
def test_another_thread_stops_a_run_soon(elsewhere, many_chunks, tmp_path):
    """Within half a second; how long it took is only printed, as the machine may be busy."""
    models, epochs = (60, 100_000) if elsewhere else (4, 3_000_000)  # chunks of 0.1 s, and of 3 s
    specs, stop, times = ensemble.grid(width=100, seed=range(models)), threading.Event(), []
    options = {"epochs": epochs, "record": [], "stop": stop, "progress": False, "store": tmp_path}

    def end():
        times.append(time.monotonic())
        stop.set()

    with ProcessPoolExecutor(1) as pool:  # what that has begun cannot be told to end, but the caller need not wait
        timer = threading.Timer(0.3, end)
        timer.start()
        with pytest.raises(ensemble.StoppedError) as caught:
            ensemble.train(specs, make_data(), **options, **({"executor": pool} if elsewhere else {}))
        print(f"ended {time.monotonic() - times[0]:.2f} s after the event")
        timer.join()
        assert len(caught.value.result) == caught.value.done.sum() < models
    assert threading.active_count() < 10 and not [t for t in threading.enumerate() if t.name.startswith("ensemble_")]
    assert store.verify(tmp_path).problems == ()


# ---- the state by itself ----


def test_a_state_of_some_models_is_theirs():
    specs = specs_of()
    state, n = State.fresh(specs, 2), len(specs)
    rng = np.random.default_rng(0)
    for values in state.arrays().values():
        values[...] = rng.normal(size=values.shape)
    order = rng.permutation(n)
    back = state.take(order).take(np.argsort(order))
    for name, values in state.arrays().items():
        np.testing.assert_array_equal(values, back.arrays()[name])
    assert state.take(np.flatnonzero(specs.optimizer == "gd")).arrays() == {}
    fresh = State.fresh(specs, 2)
    fresh.put(order, state.take(order))
    for name, values in state.arrays().items():
        np.testing.assert_array_equal(values, fresh.arrays()[name])
    assert sum(values.nbytes for values in state.arrays().values()) == state_bytes(specs, 2)

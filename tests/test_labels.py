"""Labels and several outputs: the same bits in any company, other libraries' forms, and what is for one output only."""

import numpy as np
import pytest
from test_losses import points, two_outputs

import ensemble
from ensemble import analysis, limits, plots
from ensemble.networks import Network, NetworkStack
from ensemble.rules import losses
from ensemble.studies import bias_ablation, width_study
from ensemble.training import shards

pytestmark = (
    pytest.mark.jit_heavy
)  # the kernels of labels are tested in test_losses, test_outputs and test_spline_outputs

MIXED = ensemble.grid(
    width=[2, 9], hidden_layers=[1, 2], optimizer=["gd", "adam"], batch_size=[0, 16], seed=range(2), lr=0.02,
    init="he", output_bias=True,
)  # fmt: skip
TASKS = {
    "mse": lambda: two_outputs(standardize=True),
    "two classes": lambda: points(2),
    "three classes": lambda: points(3, standardize=True),
}


def trained(task, specs=MIXED, **options):
    loss = "mse" if task == "mse" else "cross_entropy"
    return ensemble.train(specs, TASKS[task](), epochs=6, loss=loss, **options)


@pytest.fixture(scope="module", params=TASKS)
def run(request):
    """Return a task's name with its result, by whatever engines are chosen."""
    return request.param, trained(request.param)


def arrays(result):
    return [*result.losses.values(), *result.accuracies.values(), result.networks.parameters]


def test_bits_do_not_depend_on_company_order_or_threads(run):
    task, whole = run
    order = np.random.default_rng(0).permutation(len(MIXED))
    permuted = trained(task, MIXED[order], threads=1)
    for expected, found in zip(arrays(whole[order]), arrays(permuted), strict=True):
        assert np.array_equal(expected, found)
    for model in (0, len(MIXED) - 1):
        alone = trained(task, MIXED[[model]], threads=2)
        for expected, found in zip(arrays(whole[[model]]), arrays(alone), strict=True):
            assert np.array_equal(expected, found)


def test_what_is_chosen_agrees_with_the_rules(run):
    task, found = run
    expected = trained(task, engine="numpy")
    assert found.accuracies.keys() == expected.accuracies.keys() and bool(found.accuracies) == (task != "mse")
    for part in found.parts:
        np.testing.assert_allclose(found.losses[part], expected.losses[part], rtol=1e-7)
    for part in found.accuracies:
        np.testing.assert_allclose(found.accuracies[part], expected.accuracies[part], atol=1e-12)


def test_recorded_errors_are_those_of_the_networks(run):
    task, result = run
    data = TASKS[task]()
    if task == "mse":
        errors = ((result.networks.predict(data.x_test) - data.y_test) ** 2).mean(axis=(1, 2))
        np.testing.assert_allclose(result.test_loss[:, -1], errors, rtol=1e-10)
        return
    likely = result.networks.predict_proba(data.x_test)
    own = likely[:, np.arange(10), data.y_test.astype(int)]
    np.testing.assert_allclose(result.test_loss[:, -1], -np.log(own).mean(axis=1), rtol=1e-10)
    np.testing.assert_allclose(result.test_accuracy[:, -1], (likely.argmax(axis=-1) == data.y_test).mean(axis=1))


@pytest.mark.parametrize("ending", [".npz", ".safetensors"])
def test_files_of_networks_hold_all_outputs(run, ending, tmp_path):
    if ending == ".safetensors":
        pytest.importorskip("safetensors")
    task, result = run
    x = TASKS[task]().x_test
    result.networks.save(tmp_path / f"all{ending}")
    again = NetworkStack.load(tmp_path / f"all{ending}")
    assert again.n_outputs == result.networks.n_outputs
    assert np.array_equal(again.predict(x), result.networks.predict(x))
    result.networks[3].save(tmp_path / f"one{ending}")
    one = Network.load(tmp_path / f"one{ending}")
    np.testing.assert_allclose(one.predict(x), result.networks[3].predict(x), rtol=1e-9, atol=1e-12)


def test_other_libraries_compute_all_outputs(run, tmp_path):
    torch, onnx = pytest.importorskip("torch"), pytest.importorskip("onnx")
    from onnx.reference import ReferenceEvaluator

    task, result = run
    x, network = TASKS[task]().x_test, result.networks[3]
    expected = network.predict(x).reshape(len(x), -1)
    module = network.to_torch()
    np.testing.assert_allclose(module(torch.from_numpy(np.array(x))).detach().numpy(), expected, rtol=1e-9, atol=1e-12)
    back = Network.from_torch(module).predict(x)
    np.testing.assert_allclose(back.reshape(expected.shape), expected, rtol=1e-9, atol=1e-12)
    network.save(tmp_path / "one.onnx")
    (found,) = ReferenceEvaluator(onnx.load(tmp_path / "one.onnx")).run(None, {"x": np.array(x)})
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("size", [1.0, 1e4])
@pytest.mark.parametrize("outputs", [1, 4])
def test_cross_entropy_is_that_of_pytorch(outputs, size):
    torch = pytest.importorskip("torch")
    functional = torch.nn.functional
    random = np.random.default_rng(outputs)
    p, y = size * random.normal(size=(50, outputs)), random.integers(max(2, outputs), size=50).astype(float)
    logits = torch.tensor(p, requires_grad=True)
    if outputs == 1:
        theirs = functional.binary_cross_entropy_with_logits(logits[:, 0], torch.tensor(y))
    else:
        theirs = functional.cross_entropy(logits, torch.tensor(y).long())
    theirs.backward()
    value, dp = losses.cross_entropy(p, y)
    assert value == pytest.approx(theirs.item(), rel=1e-13)
    np.testing.assert_allclose(dp, logits.grad.numpy(), rtol=1e-12, atol=1e-16)


def test_tables_have_accuracies_beside_losses(run):
    pytest.importorskip("pandas")
    pytest.importorskip("xarray")
    task, result = run
    wanted = {"train_loss", "test_loss"} | (set() if task == "mse" else {"train_accuracy", "test_accuracy"})
    last, all_epochs, cube = result.to_pandas(), result.to_pandas(epochs=True), result.to_xarray()
    assert {name for name in last.columns if name.endswith(("_loss", "_accuracy"))} == wanted
    assert wanted <= set(all_epochs.columns) and wanted <= set(cube.data_vars)
    for name in wanted:
        np.testing.assert_array_equal(last[name], getattr(result, name)[:, -1])


def test_a_part_of_a_result_has_its_accuracies(run):
    _, result = run
    some = result[result.specs.width == 9]
    for part, values in result.accuracies.items():
        assert np.array_equal(some.accuracies[part], values[result.specs.width == 9])
    assert some.accuracies.keys() == result.accuracies.keys()


def test_a_plan_counts_what_several_outputs_take():
    x, specs = np.zeros((10_000, 3)), ensemble.grid(width=4)
    few, many = (ensemble.plan(specs, ensemble.Dataset(x, np.zeros((10_000, o))), epochs=1) for o in (1, 200))
    assert many.memory - few.memory > 2 * 8 * 10_000 * 199  # a copy of y, and the outputs


@pytest.mark.parametrize("task", TASKS)
def test_shards_share_out_models_of_any_loss(task):
    loss = "mse" if task == "mse" else "cross_entropy"
    parts = [shards.shard(MIXED, {"data": TASKS[task]()}, number, 3, loss) for number in (1, 2, 3)]
    assert sorted(np.concatenate(parts)) == list(range(len(MIXED)))


# ---- what is for one output ----

LINE = np.linspace(-1, 1, 30)
CURVES = np.stack([LINE, LINE**2], axis=1)


@pytest.mark.parametrize("standardize", [False, True])
@pytest.mark.parametrize("study", [width_study, bias_ablation])
def test_a_study_of_several_outputs_is_one_clear_error(study, standardize):
    data = ensemble.Dataset(LINE, CURVES, name="curves", standardize=standardize)
    with pytest.raises(ValueError, match=r"the dataset 'curves' has 2 outputs; a study compares models of one output"):
        study(data)
    assert analysis.bounds_of("curves", data, np.array([2])) is None


def test_built_networks_are_for_one_output():
    with pytest.raises(ValueError, match=r"y has 2 columns: these limits hold for one output"):
        limits.constructive_bound(LINE, CURVES, 2)
    assert limits.width_floor(LINE, CURVES[:, 1:], [2]) == limits.width_floor(LINE, CURVES[:, 1], [2])


def test_a_fit_is_drawn_for_one_output():
    two = ensemble.initialize(ensemble.grid(width=3), n_outputs=2)[0]
    with pytest.raises(ValueError, match=r"'network' has 2 outputs; a fit is drawn for one"):
        plots.fit(two, ensemble.Dataset(LINE, CURVES[:, 0]))
    with pytest.raises(ValueError, match=r"y of shape \(30, 2\); a fit is drawn for one of each"):
        plots.fit(two, ensemble.Dataset(LINE, CURVES))

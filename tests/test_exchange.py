"""Networks in PyTorch, safetensors and ONNX: the same outputs, and back again."""

import sys

import naive
import numpy as np
import pytest

import ensemble
from ensemble import Network
from ensemble.system import archive


@pytest.fixture(scope="module", params=["plain", "standardized", "without biases"])
def trained(request):
    rng = np.random.default_rng(0)
    x = 2 + 3 * rng.standard_normal((50, 3))
    data = ensemble.Dataset(x, 5 + np.sin(x).sum(axis=1), standardize=request.param == "standardized")
    biases = request.param != "without biases"
    specs = ensemble.grid(width=[1, 7], lr=0.01, optimizer="adam", hidden_bias=biases, output_bias=biases)
    return ensemble.train(specs, data, epochs=50, progress=False).networks, x


def test_state_dict_is_the_network(trained):
    networks, x = trained
    for network in networks:
        weights = network.state_dict()
        hidden = np.maximum(x @ weights["0.weight"].T + weights["0.bias"], 0)
        outputs = (hidden @ weights["2.weight"].T + weights["2.bias"])[:, 0]
        np.testing.assert_allclose(outputs, network.predict(x), rtol=1e-12, atol=1e-12)


def test_pytorch_agrees_and_comes_back(trained):
    torch = pytest.importorskip("torch", reason="the extra 'torch' is not installed")
    networks, x = trained
    for network in networks:
        module = network.to_torch()
        outputs = module(torch.from_numpy(x)).detach().numpy()
        assert outputs.shape == (len(x), 1)
        np.testing.assert_allclose(outputs[:, 0], network.predict(x), rtol=1e-12, atol=1e-12)
        again = Network.from_torch(module)
        np.testing.assert_allclose(again.predict(x), network.predict(x), rtol=1e-12, atol=1e-12)
        if network.scale is None:
            for a, b in zip(naive.four(again), naive.four(network), strict=True):
                np.testing.assert_array_equal(a, b)


def test_a_deep_network_is_the_same_in_pytorch():
    torch = pytest.importorskip("torch", reason="the extra 'torch' is not installed")
    *layers, x = naive.deep_network()
    network = Network(*layers)
    module = network.to_torch()
    assert [type(layer).__name__ for layer in module] == ["Linear", "ReLU", "Linear", "ReLU", "Linear"]
    np.testing.assert_allclose(module(torch.from_numpy(x)).detach().numpy(), network.predict(x), rtol=1e-12, atol=1e-12)
    np.testing.assert_array_equal(Network.from_torch(module).predict(x), network.predict(x))


@pytest.mark.parametrize("ending", ["npz", "safetensors", "onnx"])
def test_a_deep_network_is_the_same_from_a_file(tmp_path, ending):
    *layers, x = naive.deep_network()
    network = Network(*layers)
    path = tmp_path / f"deep.{ending}"
    if ending == "onnx":
        pytest.importorskip("onnx", reason="the extra 'onnx' is not installed")
        runtime = pytest.importorskip("onnxruntime", reason="onnxruntime, which checks ONNX files, is not installed")
        network.save(path)
        session = runtime.InferenceSession(path, providers=["CPUExecutionProvider"])
        np.testing.assert_allclose(session.run(None, {"x": x})[0], network.predict(x), rtol=1e-12, atol=1e-12)
        return
    if ending == "safetensors":
        pytest.importorskip("safetensors", reason="the extra 'safetensors' is not installed")
    network.save(path)
    np.testing.assert_array_equal(Network.load(path).predict(x), network.predict(x))


def test_states_of_other_networks_are_refused():
    state = Network(*naive.deep_network()[:2]).state_dict()
    assert list(state) == ["0.weight", "0.bias", "2.weight", "2.bias", "4.weight", "4.bias"]
    for name, values, message in [
        ("6.bias", np.zeros(2), "those of Sequential"),
        ("5.weight", np.zeros((2, 2)), "those of Sequential"),
        ("2.weight", np.zeros((5, 4)), r"weights\[1\] has shape \(4, 5\)"),
        ("2.weight", np.zeros(5), r"2.weight \(5,\) has another shape than \(outputs, inputs\)"),
        ("2.bias", np.zeros(4), r"biases\[1\] \(4,\)"),
    ]:
        with pytest.raises(ValueError, match=message):
            Network.from_state_dict(state | {name: values})
    with pytest.raises(ValueError, match="those of Sequential"):
        Network.from_state_dict({"0.weight": np.zeros((1, 1))})


def test_other_modules_are_refused():
    torch = pytest.importorskip("torch", reason="the extra 'torch' is not installed")
    nn = torch.nn
    for module in (nn.Linear(1, 1), nn.Sequential(nn.Linear(1, 4), nn.Tanh(), nn.Linear(4, 1))):
        with pytest.raises(ValueError, match=r"Sequential\(Linear, ReLU, Linear\) is needed"):
            Network.from_torch(module)
    with pytest.raises(ValueError, match=r"weights\[1\] has shape \(5, 2\)"):
        Network.from_torch(nn.Sequential(nn.Linear(1, 4), nn.ReLU(), nn.Linear(5, 2)))
    unbiased = Network.from_torch(nn.Sequential(nn.Linear(1, 4, bias=False), nn.ReLU(), nn.Linear(4, 1, bias=False)))
    assert not unbiased.biases[0].any() and not unbiased.biases[1]
    with pytest.raises(ValueError, match="is needed"):
        Network.from_torch(nn.Sequential(nn.Linear(1, 4), nn.ReLU(), nn.Linear(4, 1), nn.ReLU()))


def test_safetensors_files_are_as_pytorch_names_them(trained, tmp_path):
    numpy_files = pytest.importorskip("safetensors.numpy", reason="the extra 'safetensors' is not installed")
    networks, _ = trained
    networks[1].save(tmp_path / "network.safetensors")
    found = numpy_files.load_file(tmp_path / "network.safetensors")
    for name, values in networks[1].state_dict().items():
        np.testing.assert_array_equal(found[name], values)


def test_npz_files(trained, tmp_path):
    networks, _ = trained
    networks[1].save(tmp_path / "network.npz")
    found = archive.read(tmp_path / "network.npz", {"*": ("f", -1)})
    assert set(found) == {"0.weight", "0.bias", "2.weight", "2.bias"}


def test_onnx_runs_elsewhere(trained, tmp_path):
    pytest.importorskip("onnx", reason="the extra 'onnx' is not installed")
    runtime = pytest.importorskip("onnxruntime", reason="onnxruntime, which checks ONNX files, is not installed")
    networks, x = trained
    networks[1].save(tmp_path / "network.onnx")
    session = runtime.InferenceSession(tmp_path / "network.onnx", providers=["CPUExecutionProvider"])
    (outputs,) = session.run(None, {"x": x})
    np.testing.assert_allclose(outputs[:, 0], networks[1].predict(x), rtol=1e-12, atol=1e-12)


def test_other_endings_are_refused(trained, tmp_path):
    with pytest.raises(ValueError, match=r"\.npz, \.safetensors, \.onnx files"):
        trained[0][0].save(tmp_path / "network.pkl")


@pytest.mark.parametrize(
    ("extra", "module", "call"),
    [
        ("torch", "torch", lambda network, path: network.to_torch()),
        ("onnx", "onnx", lambda network, path: network.save(path / "n.onnx")),
        ("safetensors", "safetensors.numpy", lambda network, path: network.save(path / "n.safetensors")),
    ],
)
def test_a_missing_extra_is_named(trained, tmp_path, monkeypatch, extra, module, call):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=rf"pip install 'relu-ensemble\[{extra}\]'"):
        call(trained[0][0], tmp_path)


@pytest.mark.parametrize("ending", ["npz", "safetensors"])
def test_a_saved_network_is_read_again(trained, tmp_path, ending):
    if ending == "safetensors":
        pytest.importorskip("safetensors", reason="the extra 'safetensors' is not installed")
    networks, x = trained
    networks[1].save(tmp_path / f"network.{ending}")
    again = Network.load(tmp_path / f"network.{ending}")
    np.testing.assert_allclose(again.predict(x), networks[1].predict(x), rtol=1e-12, atol=1e-12)
    (tmp_path / f"other.{ending}").write_bytes(b"no network")
    with pytest.raises(archive.DamagedFileError, match="other"):
        Network.load(tmp_path / f"other.{ending}")
    with pytest.raises(ValueError, match="is read from"):
        Network.load(tmp_path / "network.onnx")


def test_inputs_that_are_no_numbers_are_refused(trained):
    networks, x = trained
    x = x.copy()
    x[3, 1] = np.nan
    for predict in (networks.predict, networks[0].predict):
        with pytest.raises(ValueError, match=r"x\[3\] is .*nan.*; finite numbers are needed"):
            predict(x)

"""Both forms of the spline step against the dense rule where rounding could hurt: many samples, far from zero."""

import subprocess
import sys

import numpy as np
import pytest
from test_kernels import RUN
from test_layers import two_layers

from ensemble.kernels import samples

X = {
    "uniform": lambda rng, n: rng.uniform(-3, 3, n),
    "equally spaced": lambda rng, n: np.linspace(-3, 3, n),
    "clustered": lambda rng, n: np.concatenate([rng.normal(-2, 1e-4, n // 2), rng.normal(2, 1e-4, n - n // 2)]),
    "duplicate": lambda rng, n: rng.integers(-3, 4, n).astype(float),
}
pytestmark = pytest.mark.jit_heavy


def largest_error(x, y, weights, forms=("cells", "segments")):
    """Largest error of any block of the gradient relative to its largest entry, and of the MSE."""
    loss, expected = two_layers(x[:, None], y, *weights)
    errors = []
    for form in forms:
        ours, our_loss = RUN[form](x[:, None], y, *weights)
        errors += [np.abs(a - b).max() / max(np.abs(b).max(), 1e-3) for a, b in zip(ours, expected, strict=True)]
        errors.append(abs(our_loss / loss - 1))
    return max(errors)


def problem(kind, n, h, offset, seed=0):
    rng = np.random.default_rng(seed)
    x = X[kind](rng, n)
    y = -2 / (2 + np.sin(x)) + 0.01 * rng.random(n)
    w1, w2 = rng.normal(size=(1, h)), rng.normal(size=h)
    b1 = -w1[0] * (rng.uniform(-3, 3, h) + offset)  # kinks among the samples
    return x + offset, y, (w1, b1, w2, np.float64(0.3))


@pytest.mark.parametrize("offset", [0.0, 1e4])
@pytest.mark.parametrize("kind", X)
def test_a_hundred_thousand_samples(kind, offset):
    assert largest_error(*problem(kind, 10**5, 32, offset)) < 1e-12


@pytest.mark.slow
@pytest.mark.parametrize("kind", X)
def test_ten_million_samples(kind):
    assert largest_error(*problem(kind, 10**7, 4, 0.0)) < 1e-11
    assert largest_error(*problem(kind, 10**7, 4, 1e4)) < 1e-11


@pytest.mark.parametrize("n", [7, 8, 9, 100, 421])
def test_both_forms_at_the_crossing(n):
    """Widths around the one where the engine changes over: both forms, and what the engine takes, are the rules'."""
    crossing = samples.segment_width(n)
    for h in (max(1, crossing - 1), max(1, crossing), crossing + 1):
        x, y, weights = problem("uniform", n, h, 0.0, seed=n + h)
        assert largest_error(x, y, weights, ["cells", "segments", "chosen"]) < 1e-12, h


MILLION = """
import ensemble
data = ensemble.sample("reciprocal_sine")
specs = ensemble.grid(width=16, seed=range(250_000), lr=[0.05, 0.1], optimizer=["gd", "adam"])
result = ensemble.train(specs, data, epochs=1, record=[], keep_networks=False)
assert len(result) == 10**6 and (result.diverged_at == -1).all()
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="peak memory is read from /proc")
def test_a_million_models_stay_under_a_gigabyte():
    run = subprocess.run([sys.executable, "-c", MILLION], capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stderr
    assert int(run.stdout) * 1024 < 1e9

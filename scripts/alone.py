"""What `benchmark.py` measures without peers: ratios between this library's own runs, and against the machine.

Each part prints its tables and returns what is kept of them.
"""

from __future__ import annotations

import itertools
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cost_curves
import numpy as np
import peers
import plain
from timing import CORES, Spread, cold_seconds, interleaved, microseconds, run_engine, spread, step_seconds, warm

import ensemble


def original_data() -> ensemble.Dataset:
    """The original's data: 600 samples, 420 of them for training."""
    return ensemble.sample("reciprocal_sine", seed=0)


def only_training(n: int) -> ensemble.Dataset:
    """N training samples and no others."""
    return ensemble.sample("reciprocal_sine", n=n, test_fraction=0)


def eight_inputs(n: int) -> ensemble.Dataset:
    """Noise of D = 8: a step costs the same as on any other data."""
    rng = np.random.default_rng(0)
    return ensemble.Dataset(rng.normal(size=(n, 8)), rng.normal(size=n))


def ratios(repeats: int) -> dict[str, Spread]:
    """Adam against gd, two threads against one, mixed widths against each alone."""
    data, found = original_data(), {}

    def ratio(name: str, asked: str, values: np.ndarray) -> None:
        found[name] = spread(values)
        print(f"| {name} | {asked} | {found[name]} |", flush=True)

    print("\n### Within this library\n\n| | asked | measured (lowest to highest round) |\n|---|---|---|")
    both = [ensemble.grid(width=640, seed=range(64), optimizer=optimizer) for optimizer in ("gd", "adam")]
    times = warm([run_engine(specs, data, 500) for specs in both], repeats)
    ratio("adam against gd, width 640", "at most 1.6", times[:, 1] / times[:, 0])

    threaded = ensemble.grid(width=640, seed=range(256))
    times = warm([run_engine(threaded, data, 500, 1), run_engine(threaded, data, 500, 2)], repeats)
    ratio("two threads against one", "at least 1.9", times[:, 0] / times[:, 1])

    widths = [2**i for i in range(11)]
    solo = [ensemble.grid(width=w, seed=range(64)) for w in widths]
    mixed = ensemble.grid(width=widths, seed=range(64))
    times = warm([run_engine(specs, data, 500) for specs in solo] + [run_engine(mixed, data, 500)], repeats)
    ratio("widths 1 to 1,024 mixed, speed against solo", "at least 0.9", times[:, :-1].sum(axis=1) / times[:, -1])
    return found


def growth(repeats: int) -> list[dict[str, object]]:
    """A step among many samples against one among 1,000, with one, two and three hidden layers."""
    cases = [(1, 64, 10**7, 20_000, 5), *((layers, h, 10**6, 2_000, 3) for layers in (2, 3) for h in (16, 64))]
    data = {n: only_training(n) for n in (10**3, 10**6, 10**7)}
    found: list[dict[str, object]] = []
    print("\n### A step among N samples against one among 1,000\n")
    print("| L | H | N | us among 1,000 | us among N | ratio (lowest to highest round) | asked at most |")
    print("|---|---|---|---|---|---|---|")
    for hidden_layers, width, n, epochs, asked in cases:
        settings = {"init": "uniform", "lr": 0.01} if hidden_layers > 1 else {}
        specs = ensemble.grid(width=width, hidden_layers=hidden_layers, seed=range(4), **settings)
        steps = np.array([[step_seconds(specs, data[size], epochs) for size in (10**3, n)] for _ in range(repeats)])
        ratio = spread(steps[:, 1] / steps[:, 0])
        few, many = map(microseconds, np.median(steps, axis=0))
        print(f"| {hidden_layers} | {width} | {n:,} | {few} | {many} | {ratio} | {asked} |", flush=True)
        case = {"hidden_layers": hidden_layers, "width": width, "n": n, "asked": asked}
        found.append({**case, "seconds": steps.tolist(), "ratio": ratio})
    ensemble.engines.forget_prepared()
    return found


def plain_steps(repeats: int) -> dict[int, dict[str, object]]:
    """CPU time a model, 500 epochs of gd, against a step that is as plain as it can be (`plain.py`)."""
    data, found = original_data(), {}
    print("\n### 500 epochs of gd, 420 points: us of CPU a model, one thread\n")
    print("| width | plain step | engine, all included | engine / plain | asked at most: 1.1 plain + 15 us |")
    print("|---|---|---|---|---|")
    for width in (1, 4, 16, 64, 105):
        specs = ensemble.grid(width=width, seed=range(max(500, 64_000 // width)))
        simple, engine = plain.Plain(peers.Task(specs, data, 500)), run_engine(specs, data, 500)
        simple()
        np.testing.assert_allclose(simple.errors(), engine().train_loss[:, -1], rtol=1e-9)
        times = interleaved([simple, engine], repeats, time.process_time) / len(specs) * 1e6
        ratio, (few, whole) = spread(times[:, 1] / times[:, 0]), np.median(times, axis=0)
        print(f"| {width} | {few:.1f} | {whole:.1f} | {ratio} | {1.1 * few + 15:.1f} |", flush=True)
        found[width] = {"plain": times[:, 0].tolist(), "engine": times[:, 1].tolist(), "ratio": ratio}
    return found


def cold(repeats: int) -> dict[str, dict[str, object]]:
    """First calls in a fresh process with an empty kernel cache: CPU seconds, most of which compile."""
    one = 'data = ensemble.sample("reciprocal_sine", seed=0)'
    eight = (
        "import numpy as np\nrng = np.random.default_rng(0)\n"
        "data = ensemble.Dataset(rng.normal(size=(420, 8)), rng.normal(size=420))"
    )
    train = "ensemble.train(ensemble.grid(width=16, seed=range(2){}), data, epochs=10, progress=False)"
    cases = {
        "train, one input, gd": (one, train.format(""), 4),
        "train, one input, gd, momentum and adam": (one, train.format(', optimizer=["gd", "momentum", "adam"]'), 4),
        "train, one input, two hidden layers": (one, train.format(", hidden_layers=2"), 4),
        "train, eight inputs": (eight, train.format(""), 4),
        "train, eight inputs, two hidden layers": (eight, train.format(", hidden_layers=2"), 4),
        "first built network": (
            one + "\nfrom ensemble import limits",
            "limits.constructive_bound(data.x_train[:, 0], data.y_train, 8)",
            3,
        ),
    }
    found: dict[str, dict[str, object]] = {}
    print("\n### Cold first calls: CPU seconds, nothing cached\n")
    print("| | the call (lowest to highest round) | imports before it | asked at most |\n|---|---|---|---|")
    rounds = [{name: cold_seconds(before, call) for name, (before, call, _) in cases.items()} for _ in range(repeats)]
    for name, (_, _, asked) in cases.items():
        call, imports = (spread(np.array([times[name][i] for times in rounds])) for i in (0, 1))
        print(f"| {name} | {call} | {imports.median:.2f} | {asked} |", flush=True)
        found[name] = {"call": call, "imports": imports, "asked": asked}
    return found


def product(repeats: int) -> dict[str, object]:
    """Eight inputs, width 640, 420 points: operations a second against the machine's matrix product."""
    return product_share(eight_inputs(420), 1, 640, repeats, asked=0.4)


def product_share(
    data: ensemble.Dataset, hidden_layers: int, width: int, repeats: int, asked: float
) -> dict[str, object]:
    """Print operations a second of the engine and of a matrix product of 1,500 x 1,500, one thread each."""
    from threadpoolctl import threadpool_limits

    # Per sample: outputs and weights' gradient of each layer, and what goes back through each but the first.
    products = 2 * data.n_inputs * width + 3 * (hidden_layers - 1) * width**2 + 3 * width
    epochs = max(20, round(1e9 / (products * data.n_train)))
    specs = ensemble.grid(width=width, hidden_layers=hidden_layers, seed=range(4), lr=0.01, init="uniform")
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(1500, 1500)), rng.normal(size=(1500, 1500))
    with threadpool_limits(1):
        times = warm([run_engine(specs, data, epochs), lambda: a @ b], max(repeats, 7))
    rates = np.array([2 * products * data.n_train * epochs * len(specs), 2 * 1500**3]) / times
    share = spread(rates[:, 0] / rates[:, 1])
    engine, machines = (float(rate) for rate in np.median(rates, axis=0))
    print(
        f"\nD = {data.n_inputs}, L = {hidden_layers}, width {width}, N = {data.n_train:,}: {engine / 1e9:.1f} Gflop/s, "
        f"{share} of the matrix product's {machines / 1e9:.1f} (asked: {asked})"
    )
    return {"width": width, "engine": engine, "matrix product": machines, "share": share, "asked": asked}


def curves(repeats: int) -> dict[str, object]:
    """What a step costs by width, samples, hidden layers and number of models: the picture."""
    return cost_curves.measure(original_data(), only_training, repeats)


# ---- on request ----


def crossing(repeats: int) -> None:
    """Where the segment form and the cell form cross, for `samples.segment_width`."""
    from ensemble.kernels import samples

    chosen = samples.segment_width
    for n in (100, 420, 2000):
        data = only_training(n)
        for width in [int(n * share) for share in (0.125, 0.25, 0.375, 0.5, 0.75, 1.0)]:
            specs = ensemble.grid(width=width, seed=range(4))
            times = []
            for limit in (0, 10**9):
                samples.segment_width = lambda n, limit=limit: limit
                ensemble.engines.forget_prepared()
                times.append(np.median(warm([run_engine(specs, data, 500)], repeats)))
            print(f"N {n:6d}  H {width:6d}  H/N {width / n:.3f}  cells / segments {times[0] / times[1]:.2f}")
    samples.segment_width = chosen
    ensemble.engines.forget_prepared()


def store(repeats: int) -> dict[str, object]:
    """A run of about a minute into a store against the same run without: what writing it safely costs."""
    specs, data = ensemble.grid(width=[16, 64, 256, 640], seed=range(32_000)), original_data()
    with tempfile.TemporaryDirectory() as folder:
        places = (Path(folder, str(i)) for i in itertools.count())
        runs = [
            run_engine(specs, data, 500, CORES),
            lambda: run_engine(specs, data, 500, CORES, store=next(places))(),
        ]
        return _two_ways("With a store", ["without", "with a store"], runs, len(specs), repeats)


def dask(repeats: int) -> dict[str, object]:
    """Models through a local Dask cluster, a worker process per core, against as many threads."""
    from ensemble.distributed import connected

    specs, data = ensemble.grid(width=[16, 64, 256], seed=range(12_000)), original_data()
    with connected("local", print) as pool:
        runs = [run_engine(specs, data, 500, CORES), run_engine(specs, data, 500, None, executor=pool)]
        return _two_ways("Dask", [f"{CORES} threads", f"Dask, {CORES} workers"], runs, len(specs), repeats)


def _two_ways(title: str, names: list[str], runs: list[Callable], models: int, repeats: int) -> dict[str, object]:
    """Print the seconds of two ways to the same bits, and the throughput of the second against the first one's."""
    results = [run() for run in runs]  # the warm-up
    for part in ("train_loss", "test_loss"):
        np.testing.assert_array_equal(*(getattr(result, part) for result in results))
    del results
    seconds = interleaved(runs, repeats)
    print(f"\n### {title}, {models:,} models\n")
    for name, column in zip(names, seconds.T, strict=True):
        print(f"{name}: {spread(column)} s")
    ratio = spread(seconds[:, 0] / seconds[:, 1])
    print(f"throughput against the first: {ratio.median:.3f} ({ratio.low:.3f} to {ratio.high:.3f})", flush=True)
    return {**dict(zip(names, seconds.T.tolist(), strict=True)), "throughput": ratio}

"""Time this engine against other ways to train the same networks: one run, interleaved, same result required.

Prints Markdown tables and leaves `benchmark.png` and `benchmark.json`. Peers come with `pip install -e ".[bench]"`.
"""

from __future__ import annotations

import argparse
import importlib.util
import itertools
import json
import os
import platform
import tempfile
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import peers
from matplotlib.figure import Figure

import ensemble


class Contestant(NamedTuple):
    """A way to train: its name, how it is prepared, how many models it gets (slow ones get fewer), what it needs."""

    name: str
    prepare: Callable[[peers.Task], peers.Run]
    models: int
    needs: str = "numpy"


class Row(NamedTuple):
    """Seconds per model and epoch of one contestant, and its ratio to the first one, round by round."""

    name: str
    median: float
    low: float
    high: float
    ratio: float
    ratio_low: float
    ratio_high: float


def interleaved(runs: list[Callable[[], object]], repeats: int) -> np.ndarray:
    """Return the wall times (repeats, runs) in seconds, all runs in turn in each round."""
    times = np.empty((repeats, len(runs)))
    for round_ in range(repeats):
        for i, run in enumerate(runs):
            start = time.perf_counter()
            run()
            times[round_, i] = time.perf_counter() - start
    return times


def compete(contestants: list[Contestant], specs: ensemble.Specs, data, epochs: int, repeats: int) -> list[Row]:
    """Run all contestants on the first of `specs`; the first contestant is what the others are compared with."""
    present = [c for c in contestants if importlib.util.find_spec(c.needs)]
    for contestant in contestants:
        if contestant not in present:
            print(f"left out, {contestant.needs} is not installed: {contestant.name}")
    runs = [c.prepare(peers.Task(specs[: c.models], data, epochs)) for c in present]
    expected = runs[0]()
    for contestant, run in zip(present, runs, strict=True):  # the warm-up, which compiles, and the check
        np.testing.assert_allclose(run(), expected[: contestant.models], rtol=1e-9, err_msg=contestant.name)
    work = np.array([c.models * epochs for c in present])
    times = interleaved(runs, repeats) / work
    ratios = times / times[:, :1]
    return [
        Row(
            c.name,
            *(float(f(t)) for f in (np.median, np.min, np.max)),
            *(float(f(r)) for f in (np.median, np.min, np.max)),
        )
        for c, t, r in zip(present, times.T, ratios.T, strict=True)
    ]


def table(title: str, rows: list[Row]) -> list[Row]:
    """Print one comparison."""
    print(f"\n### {title}\n\n| | per model and epoch | times the first (lowest to highest round) |\n|---|---|---|")
    for row in rows:
        spread = f"{row.ratio_low:,.1f} to {row.ratio_high:,.1f}"
        print(f"| {row.name} | {row.median * 1e6:,.2f} us | {row.ratio:,.1f} ({spread}) |")
    return rows


def machine() -> str:
    """Say what this was measured on."""
    model = platform.processor() or platform.machine()
    if os.path.exists("/proc/cpuinfo"):
        with open("/proc/cpuinfo") as lines:
            model = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), model)
    return f"{model}, {os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}"


def run_engine(specs, data, epochs, threads=1, **options) -> Callable[[], object]:
    """Return a training by this engine, with the errors of the first and the last epoch only."""
    return lambda: ensemble.train(specs, data, epochs=epochs, record=[], threads=threads, progress=False, **options)


# ---- the comparisons ----


def against_peers(data, repeats: int) -> list[Row]:
    """Width 640, gd: every way to train the same models, all cores for everybody."""
    cores = os.cpu_count() or 1
    contestants = [
        Contestant(f"**ensemble**, {cores} threads", peers.engine("auto", cores), 512),
        Contestant("JAX: jit, lax.map over models, lax.scan", peers.jax_scan("map"), 8, "jax"),
        Contestant("JAX: jit, vmap over models, lax.scan", peers.jax_scan("vmap"), 8, "jax"),
        Contestant("PyTorch: stacked torch.bmm, autograd", peers.torch_bmm, 8, "torch"),
        Contestant("PyTorch: torch.func.vmap, torch.compile", peers.torch_vmap(compiled=True), 8, "torch"),
        Contestant("PyTorch: torch.func.vmap, 64 models", peers.torch_vmap(compiled=False), 64, "torch"),
        Contestant("PyTorch: torch.func.vmap, 8 models", peers.torch_vmap(compiled=False), 8, "torch"),
        Contestant("PyTorch: loop over modules", peers.torch_loop, 2, "torch"),
        Contestant("NumPy: the original's loop over models", peers.numpy_loop, 2),
        Contestant("NumPy: batched matrix products", peers.numpy_batched, 8),
        Contestant("ensemble, dense engine", peers.engine("dense", cores), 8),
    ]
    specs = ensemble.grid(width=640, seed=range(512))
    rows = compete(contestants, specs, data, 200, repeats)
    return table(f"Width 640, {data.n_train} points, 200 epochs of gd, float64", rows)


def against_scikit_learn(data, repeats: int) -> list[Row]:
    """Width 16, 500 epochs: how many models a minute."""
    cores = os.cpu_count() or 1
    contestants = [
        Contestant(f"**ensemble**, {cores} threads", peers.engine("auto", cores), 20_000),
        Contestant("scikit-learn: MLPRegressor", peers.scikit_learn, 3, "sklearn"),
    ]
    specs = ensemble.grid(width=16, seed=range(20_000), output_bias=True)
    rows = table(f"Width 16, {data.n_train} points, 500 epochs of gd", compete(contestants, specs, data, 500, repeats))
    print(f"\n{60 / (rows[0].median * 500):,.0f} models of width 16 a minute, initialization and assembly included")
    return rows


def against_validation_curve(repeats: int) -> dict[str, dict[str, list[float]]]:
    """`ensemble.sklearn.width_curve` against `validation_curve` over MLPRegressor: same folds, widths, rate, epochs."""
    from sklearn.compose import TransformedTargetRegressor
    from sklearn.datasets import load_diabetes
    from sklearn.model_selection import KFold, validation_curve
    from sklearn.neural_network import MLPRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    from ensemble.sklearn import width_curve

    csv = Path(__file__).parents[1] / "tests/data/mauna_loa_co2.csv"
    co2 = ensemble.load_csv(csv, x="decimal_year", y="co2_ppm", test_fraction=0, val_fraction=0)
    cases = {
        "diabetes, 10 inputs": (*load_diabetes(return_X_y=True), 0.003, 200),
        "Mauna Loa CO2, 1 input": (co2.x_train, co2.y_train, 0.01, 500),
    }
    widths, cv = [4, 16, 64, 256], KFold(5, shuffle=True, random_state=0)
    print("\n### width_curve against validation_curve over MLPRegressor, test MSE by width\n")
    print(f"| | seconds | times the first (lowest to highest round) | {' | '.join(map(str, widths))} |")
    print("|---|---|---|" + "---|" * len(widths))
    found = {}
    for name, (x, y, lr, epochs) in cases.items():
        network = MLPRegressor(
            learning_rate_init=lr, batch_size=len(x), max_iter=epochs, alpha=0.0, tol=0.0, n_iter_no_change=10**9,
            random_state=0,
        )  # fmt: skip
        peer = TransformedTargetRegressor(make_pipeline(StandardScaler(), network), transformer=StandardScaler())
        place, sizes = "regressor__mlpregressor__hidden_layer_sizes", [(width,) for width in widths]

        def ours(n_seeds, x=x, y=y, lr=lr, epochs=epochs):
            options = {"lr": lr, "epochs": epochs, "schedule": "constant", "n_jobs": -1}
            return -width_curve(x, y, widths, cv, n_seeds=n_seeds, random_state=0, **options).test_scores

        def theirs(x=x, y=y, peer=peer, place=place, sizes=sizes):
            options = {"param_name": place, "param_range": sizes, "n_jobs": -1}
            with warnings.catch_warnings():  # full batches are clipped to the fold, and no fit is stopped early
                warnings.simplefilter("ignore")
                return -validation_curve(peer, x, y, cv=cv, scoring="neg_mean_squared_error", **options)[1]

        runs = {
            "width_curve, 1 seed": partial(ours, 1),
            "width_curve, 8 seeds": partial(ours, 8),
            "validation_curve, MLPRegressor, 1 seed": theirs,
        }
        errors = [run().mean(axis=1) for run in runs.values()]  # the warm-up, which compiles and starts processes
        times = interleaved(list(runs.values()), repeats)
        for i, run in enumerate(runs):
            ratio = times[:, i] / times[:, 0]
            values = " | ".join(f"{error:,.4g}" for error in errors[i])
            spread = f"{np.median(ratio):.1f} ({ratio.min():.1f} to {ratio.max():.1f})"
            print(f"| {name}: {run} | {np.median(times[:, i]):.3f} | {spread} | {values} |", flush=True)
            found[f"{name}: {run}"] = {"seconds": times[:, i].tolist(), "test_loss": errors[i].tolist()}
    return found


def against_itself(data, repeats: int) -> dict[str, list[float]]:
    """Ratios between this engine's own runs, with their lowest and highest round."""
    found: dict[str, list[float]] = {}

    def ratio(name: str, asked: str, values: np.ndarray) -> None:
        found[name] = [float(f(values)) for f in (np.median, np.min, np.max)]
        print(f"| {name} | {asked} | {found[name][0]:.2f} ({found[name][1]:.2f} to {found[name][2]:.2f}) |")

    print("\n### Within this engine\n\n| | asked | measured (lowest to highest round) |\n|---|---|---|")
    wide = {o: ensemble.grid(width=640, seed=range(64), optimizer=o) for o in ("gd", "adam")}
    runs = [run_engine(wide["gd"], data, 500), run_engine(wide["adam"], data, 500)]
    times = _warm(runs, repeats)
    ratio("adam against gd, width 640", "at most 1.6", times[:, 1] / times[:, 0])

    threaded = ensemble.grid(width=640, seed=range(256))
    times = _warm([run_engine(threaded, data, 500, 1), run_engine(threaded, data, 500, 2)], repeats)
    ratio("two threads against one", "at least 1.9", times[:, 0] / times[:, 1])

    widths = [2**i for i in range(11)]
    solo = [ensemble.grid(width=w, seed=range(64)) for w in widths]
    mixed = ensemble.grid(width=widths, seed=range(64))
    times = _warm([run_engine(specs, data, 500) for specs in solo] + [run_engine(mixed, data, 500)], repeats)
    ratio("widths 1 to 1,024 mixed, speed against solo", "at least 0.9", times[:, :-1].sum(axis=1) / times[:, -1])

    specs = ensemble.grid(width=64, seed=range(2))
    sizes = {n: ensemble.sample("reciprocal_sine", n=n, test_fraction=0) for n in (10**3, 10**7)}
    steps = []
    for _ in range(repeats):
        few, many = (_step_seconds(specs, d) for d in sizes.values())
        steps.append(many / few)
    ratio("step at N = 10^7 against N = 10^3, width 64", "at most 8", np.array(steps))
    ensemble.engines.forget_prepared()
    return found


def stored(data, repeats: int) -> dict[str, list[float]]:
    """A run of about a minute into a store against the same run without: what writing it safely costs."""
    specs = ensemble.grid(width=[16, 64, 256, 640], seed=range(32_000))
    cores = os.cpu_count() or 1
    with tempfile.TemporaryDirectory() as folder:
        places = (Path(folder, str(i)) for i in itertools.count())
        runs = [
            run_engine(specs, data, 500, cores),
            lambda: run_engine(specs, data, 500, cores, store=next(places))(),
        ]
        return _against("With a store", ["without", "with a store"], runs, len(specs), repeats)


def on_dask(data, repeats: int) -> dict[str, list[float]]:
    """10^5 models through a local Dask cluster, a worker process per core, against as many threads."""
    from ensemble.distributed import connected

    specs = ensemble.grid(width=[16, 64, 256], seed=range(34_000))
    cores = os.cpu_count() or 1
    with connected("local", print) as pool:
        runs = [run_engine(specs, data, 500, cores), run_engine(specs, data, 500, None, executor=pool)]
        return _against("Dask", [f"{cores} threads", f"Dask, {cores} workers"], runs, len(specs), repeats)


def _against(title: str, names: list[str], runs: list[Callable], models: int, repeats: int) -> dict[str, list[float]]:
    """Print the seconds of two ways to the same bits, and the throughput of the second against the first one's."""
    results = [run() for run in runs]  # the warm-up
    for part in ("train_loss", "test_loss"):
        np.testing.assert_array_equal(*(getattr(result, part) for result in results))
    del results
    seconds = dict(zip(names, interleaved(runs, repeats).T, strict=True))
    print(f"\n### {title}, {models:,} models\n")
    for name, values in seconds.items():
        print(f"{name}: {np.median(values):.1f} s ({values.min():.1f} to {values.max():.1f})")
    first, second = seconds.values()
    ratio = [float(f(first / second)) for f in (np.median, np.min, np.max)]
    print("throughput against the first: {:.3f} ({:.3f} to {:.3f})".format(*ratio), flush=True)
    return {**{name: values.tolist() for name, values in seconds.items()}, "throughput": ratio}


def _warm(runs, repeats):
    for run in runs:
        run()
    return interleaved(runs, repeats)


def _step_seconds(specs, data) -> float:
    """Return the time of a step: what 20,000 more epochs cost, so that tables and recorded errors drop out."""
    short, long = run_engine(specs, data, 500), run_engine(specs, data, 20_500)
    short()
    times = interleaved([short, long], 3)
    return float(np.median(times[:, 1] - times[:, 0])) / (20_000 * len(specs))


def dense_rate(repeats: int) -> dict[str, float]:
    """D = 8, width 640, N = 420: operations a second against the machine's matrix product, one thread each."""
    from threadpoolctl import threadpool_limits

    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(420, 8)), rng.normal(size=420)
    specs = ensemble.grid(width=640, seed=range(4), lr=0.01)
    a, b = rng.normal(size=(1500, 1500)), rng.normal(size=(1500, 1500))
    with threadpool_limits(1):
        times = _warm([run_engine(specs, ensemble.Dataset(x, y), 50), lambda: a @ b], max(repeats, 7))
    ours = 2 * (2 * 8 + 3) * 420 * 640 * 50 * 4 / times[:, 0]
    product = 2 * 1500**3 / times[:, 1]
    share = float(np.median(ours / product))
    print(
        f"\nDense engine, D = 8, width 640, N = 420: {np.median(ours) / 1e9:.1f} Gflop/s, "
        f"{share:.0%} of the matrix product's {np.median(product) / 1e9:.1f} (asked: 40%)"
    )
    return {"engine": float(np.median(ours)), "matrix product": float(np.median(product)), "share": share}


def dense_peers(repeats: int) -> list[Row]:
    """D = 8, width 640: the dense engine against the peers."""
    cores = os.cpu_count() or 1
    rng = np.random.default_rng(0)
    data = ensemble.Dataset(rng.normal(size=(420, 8)), rng.normal(size=420))
    contestants = [
        Contestant(f"**ensemble**, dense engine, {cores} threads", peers.engine("dense", cores), 8),
        Contestant("JAX: jit, lax.map over models, lax.scan", peers.jax_scan("map"), 8, "jax"),
        Contestant("JAX: jit, vmap over models, lax.scan", peers.jax_scan("vmap"), 8, "jax"),
        Contestant("PyTorch: stacked torch.bmm, autograd", peers.torch_bmm, 8, "torch"),
        Contestant("PyTorch: torch.func.vmap, torch.compile", peers.torch_vmap(compiled=True), 8, "torch"),
        Contestant("NumPy: the original's loop over models", peers.numpy_loop, 4),
    ]
    rows = compete(contestants, ensemble.grid(width=640, seed=range(8), lr=0.01), data, 100, repeats)
    return table("8 inputs, width 640, 420 points, 100 epochs of gd", rows)


# ---- the pictures ----


def curves(data) -> dict[str, dict[str, list[float]]]:
    """Cost of a step against H, N and the number of models, and speed against threads."""
    found: dict[str, dict[str, list[float]]] = {}

    def measure(panel: str, line: str, x: float, run: Callable[[], object], work: float) -> None:
        seconds = float(np.median(_warm([run], 3)))
        points = found.setdefault(panel, {}).setdefault(line, [])
        points.append((x, seconds / work * 1e6))

    for width in [2**i for i in range(0, 13)]:
        models = max(2, 2048 // width)
        for optimizer in ("gd", "adam"):
            specs = ensemble.grid(width=width, seed=range(models), optimizer=optimizer, lr=1e-3)  # none diverges
            measure("width H", f"spline, {optimizer}", width, run_engine(specs, data, 200), 200 * models)
        if width <= 512:
            specs = specs[: max(1, models // 8)]
            measure("width H", "dense, adam", width, run_engine(specs, data, 20, engine="dense"), 20 * len(specs))
    for exponent in (2, 3, 4, 5, 6):
        sampled = ensemble.sample("reciprocal_sine", n=10**exponent, test_fraction=0)
        for width in (16, 64, 256):
            points = found.setdefault("samples N", {}).setdefault(f"spline, width {width}", [])
            points.append((10**exponent, _step_seconds(ensemble.grid(width=width, seed=range(2)), sampled) * 1e6))
    for models in [4**i for i in range(0, 8)]:
        specs = ensemble.grid(width=16, seed=range(models))
        measure("models", "spline, width 16", models, run_engine(specs, data, 500, os.cpu_count()), 500 * models)
    for threads in range(1, (os.cpu_count() or 1) + 1):
        specs = ensemble.grid(width=640, seed=range(128))
        measure("threads", "spline, width 640", threads, run_engine(specs, data, 300, threads), 300 * 128)
    return found


def draw(found: dict[str, dict[str, list[float]]], path: Path) -> None:
    """Draw the four cost curves."""
    figure = Figure(figsize=(10, 7), layout="constrained")
    for ax, (panel, lines) in zip(figure.subplots(2, 2).flat, found.items(), strict=True):
        for (line, points), marker in zip(lines.items(), "osD^v", strict=False):
            ax.plot(*np.transpose(points), marker=marker, label=line)
        ax.set(xlabel=panel, ylabel="microseconds per model and epoch", xscale="log", yscale="log")
        if panel == "threads":
            ax.set(xscale="linear", yscale="linear", ylim=(0, None), xticks=range(1, (os.cpu_count() or 1) + 1))
        ax.grid(alpha=0.3)
        ax.legend()
    figure.suptitle(f"Cost of one full-batch step, float64 ({machine()})", fontsize=10)
    figure.savefig(path, dpi=100)


def crossing(data) -> None:
    """Print where the segment form and the cell form cross, for `samples.segment_width`."""
    from ensemble.kernels import samples

    chosen = samples.segment_width
    for n in (100, 420, 2000):
        sampled = ensemble.sample("reciprocal_sine", n=n, test_fraction=0)
        for width in [int(n * share) for share in (0.125, 0.25, 0.375, 0.5, 0.75, 1.0)]:
            specs = ensemble.grid(width=width, seed=range(4))
            times = []
            for limit in (0, 10**9):
                samples.segment_width = lambda n, limit=limit: limit
                ensemble.engines.forget_prepared()
                times.append(np.median(_warm([run_engine(specs, sampled, 500)], 3)))
            print(f"N {n:6d}  H {width:6d}  H/N {width / n:.3f}  cells / segments {times[0] / times[1]:.2f}")
    samples.segment_width = chosen
    ensemble.engines.forget_prepared()


def main() -> None:
    """Run everything, or a part."""
    parts = ("peers", "sklearn", "itself", "dense", "curves", "crossing", "store", "dask")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5, help="rounds of each comparison (default: 5)")
    parser.add_argument(
        "--only", nargs="+", choices=parts, default=parts[:-3], help="which parts (default: all but the last three)"
    )
    parser.add_argument("--out", type=Path, default=Path("results/benchmark"), help="where the figure and the JSON go")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    print(f"{machine()}, {time.strftime('%Y-%m-%d')}")
    data = ensemble.sample("reciprocal_sine", seed=0)
    found: dict[str, object] = {"machine": machine(), "date": time.strftime("%Y-%m-%d")}
    if "peers" in arguments.only:
        found["peers"] = [row._asdict() for row in against_peers(data, arguments.repeats)]
    if "sklearn" in arguments.only:
        found["sklearn"] = [row._asdict() for row in against_scikit_learn(data, arguments.repeats)]
        if importlib.util.find_spec("sklearn"):
            found["width curve"] = against_validation_curve(arguments.repeats)
    if "itself" in arguments.only:
        found["itself"] = against_itself(data, arguments.repeats)
    if "dense" in arguments.only:
        found["dense"] = [row._asdict() for row in dense_peers(arguments.repeats)]
        if importlib.util.find_spec("threadpoolctl"):
            found["dense rate"] = dense_rate(arguments.repeats)
    if "curves" in arguments.only:
        found["curves"] = curves(data)
        draw(found["curves"], arguments.out / "benchmark.png")
    if "crossing" in arguments.only:
        crossing(data)
    if "store" in arguments.only:
        found["store"] = stored(data, arguments.repeats)
    if "dask" in arguments.only:
        found["dask"] = on_dask(data, arguments.repeats)
    (arguments.out / "benchmark.json").write_text(json.dumps(found, indent=1) + "\n")
    print(f"\nThe figures are in {arguments.out}")


if __name__ == "__main__":
    main()

"""Time this library against other ways to train the same networks: one run, interleaved, same result required.

Prints Markdown tables, and leaves `benchmark.json` and `benchmark.png`; a part that is run again replaces its own
figures there. The whole takes about nine minutes. Peers come with `pip install -e ".[bench]"`.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path

import alone
import batched
import cost_curves
import numpy as np
import peers
from timing import (
    CORES,
    Contestant,
    OtherPrograms,
    Row,
    best_peer,
    compete,
    interleaved,
    machine,
    microseconds,
    run_engine,
    spread,
    warm,
)

import ensemble

LAX_MAP, VMAP = "JAX: jit, lax.map over models, lax.scan", "JAX: jit, vmap over models, lax.scan"
COMPILED, BMM = "PyTorch: torch.func.vmap, torch.compile", "PyTorch: stacked torch.bmm, autograd"
ORIGINAL, BATCHED = "NumPy: the original's loop over models", "NumPy: batched matrix products"
OURS = f"**relu-ensemble**, {CORES} threads"


def table(title: str, rows: list[Row]) -> None:
    """Print one comparison."""
    print(f"\n### {title}\n\n| | per model and epoch | times the first (lowest to highest round) |\n|---|---|---|")
    for row in rows:
        print(f"| {row.name} | {microseconds(row.seconds.median)} us | {row.ratio} |", flush=True)


# ---- one hidden layer ----


def wide(repeats: int) -> list[Row]:
    """Width 640, one input, gd: every way to train the same models, all cores for everybody."""
    data = alone.original_data()
    contestants = [
        Contestant(OURS, peers.engine("auto", CORES), 512, 200, peer=False),
        Contestant(LAX_MAP + ", 8 models, 200 steps a scan", peers.jax_scan("map"), 8, 200, "jax"),
        Contestant(LAX_MAP + ", 64 models, 40 steps a scan", peers.jax_scan("map"), 64, 40, "jax"),
        Contestant(VMAP + ", 8 models, 200 steps a scan", peers.jax_scan("vmap"), 8, 200, "jax"),
        Contestant(VMAP + ", 64 models, 40 steps a scan", peers.jax_scan("vmap"), 64, 40, "jax"),
        Contestant(COMPILED, peers.torch_vmap(compiled=True), 8, 200, "torch"),
        Contestant("PyTorch: torch.func.vmap", peers.torch_vmap(compiled=False), 8, 40, "torch"),
        Contestant(BMM, peers.torch_bmm, 8, 40, "torch"),
        Contestant("PyTorch: loop over modules", peers.torch_loop, 2, 40, "torch"),
        Contestant(ORIGINAL, peers.numpy_loop, 2, 40),
        Contestant(BATCHED, peers.numpy_batched, 8, 40),
        Contestant("relu-ensemble, dense engine", peers.engine("dense", CORES), 8, 40, peer=False),
    ]
    rows = compete(contestants, ensemble.grid(width=640, seed=range(512)), data, repeats)
    table(f"Width 640, {data.n_train} points, gd, float64", rows)
    jax = best_peer([row for row in rows if row.name.startswith("JAX")])
    if jax:
        print(f"\nagainst the best JAX form: {jax.ratio} (asked: 120)")
    return rows


def minute(repeats: int) -> dict[str, object]:
    """Width 16, 500 epochs of gd: how many models a minute, against scikit-learn's MLPRegressor."""
    data, models = alone.original_data(), 20_000
    contestants = [
        Contestant(OURS, peers.engine("auto", CORES), models, 500, peer=False),
        Contestant("scikit-learn: MLPRegressor", peers.scikit_learn, 3, 500, "sklearn"),
    ]
    biased = ensemble.grid(width=16, seed=range(models), output_bias=True)
    rows = compete(contestants, biased, data, repeats)
    table(f"Width 16 with output bias, {data.n_train} points, 500 epochs of gd", rows)
    original = ensemble.grid(width=16, seed=range(models))
    seconds = warm([run_engine(specs, data, 500, CORES) for specs in (original, biased)], repeats)
    rates = [spread(60 * models / column) for column in seconds.T]
    print(f"\nmodels of width 16 a minute, initial weights and assembly included: {rates[0]} (asked: 1,200,000)")
    print(f"with output bias: {rates[1]}")
    return {"rows": rows, "models a minute": rates[0], "with output bias": rates[1]}


def width_curve(repeats: int) -> dict[str, object]:
    """`ensemble.sklearn.width_curve` against `validation_curve` over MLPRegressor: same folds, widths, rate, epochs."""
    from sklearn.compose import TransformedTargetRegressor
    from sklearn.datasets import load_diabetes
    from sklearn.model_selection import KFold, validation_curve
    from sklearn.neural_network import MLPRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    import ensemble.sklearn

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
    found: dict[str, object] = {}
    for name, (x, y, lr, epochs) in cases.items():
        network = MLPRegressor(
            learning_rate_init=lr, batch_size=len(x), max_iter=epochs, alpha=0.0, tol=0.0, n_iter_no_change=10**9,
            random_state=0,
        )  # fmt: skip
        peer = TransformedTargetRegressor(make_pipeline(StandardScaler(), network), transformer=StandardScaler())
        place, sizes = "regressor__mlpregressor__hidden_layer_sizes", [(width,) for width in widths]

        def ours(n_seeds, x=x, y=y, lr=lr, epochs=epochs):
            options = {"lr": lr, "epochs": epochs, "schedule": "constant", "n_jobs": -1, "random_state": 0}
            return -ensemble.sklearn.width_curve(x, y, widths, cv, n_seeds=n_seeds, **options).test_scores

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
            values = " | ".join(f"{error:,.4g}" for error in errors[i])
            ratio = spread(times[:, i] / times[:, 0])
            print(f"| {name}: {run} | {np.median(times[:, i]):.3f} | {ratio} | {values} |", flush=True)
            found[f"{name}: {run}"] = {"seconds": times[:, i].tolist(), "test_loss": errors[i].tolist()}
    return found


def inputs(repeats: int) -> list[Row]:
    """Width 640, eight inputs, gd: the dense engine against peers."""
    contestants = [
        Contestant(OURS, peers.engine("auto", CORES), 16, 100, peer=False),
        Contestant(LAX_MAP, peers.jax_scan("map"), 8, 40, "jax"),
        Contestant(VMAP, peers.jax_scan("vmap"), 8, 40, "jax"),
        Contestant(BMM, peers.torch_bmm, 8, 40, "torch"),
        Contestant(COMPILED, peers.torch_vmap(compiled=True), 8, 100, "torch"),
        Contestant(ORIGINAL, peers.numpy_loop, 4, 40),
    ]
    specs = ensemble.grid(width=640, seed=range(16), lr=0.01)
    rows = compete(contestants, specs, alone.eight_inputs(420), repeats)
    table("8 inputs, width 640, 420 points, gd", rows)
    return rows


def batches(repeats: int) -> list[dict[str, object]]:
    """Batches of 32 of 420 points, gd: against peers, and against our own full-batch epochs."""
    size, found = 32, []
    print(f"\n### Batches of {size}, 420 points, gd: us per model and step\n")
    for width, data, ours, epochs, asked in (
        (64, alone.original_data(), 1024, 40, 6),
        (640, alone.original_data(), 256, 40, 8),
        (64, alone.eight_inputs(420), 256, 40, 6),
    ):
        contestants = [
            Contestant("relu-ensemble", peers.engine("auto", CORES), ours, epochs, peer=False),
            Contestant("JAX lax.map", batched.jax_scan("map"), 16, 20, "jax"),
            Contestant("JAX vmap", batched.jax_scan("vmap"), 16, 20, "jax"),
            Contestant("torch vmap, compiled", batched.torch_vmap(compiled=True), 32, 5, "torch"),
        ]
        specs = ensemble.grid(width=width, seed=range(ours), lr=0.01, batch_size=size)
        rows, steps = compete(contestants, specs, data, repeats), -(-data.n_train // size)
        if not found:
            names = " | ".join(row.name for row in rows)
            last = "best peer, times ours (lowest to highest round) | asked | our epoch, times a full-batch one"
            print(f"| D | H | {names} | {last} |")
            print("|---|---|" + "---|" * (len(rows) + 3))
        full = ensemble.grid(width=width, seed=range(ours), lr=0.01)
        times = warm([run_engine(full, data, 10 * epochs, CORES), run_engine(specs, data, epochs, CORES)], repeats)
        epoch, best = spread(10 * times[:, 1] / times[:, 0]), best_peer(rows)
        against = f"{best.name}: {best.ratio}" if best else "none installed"
        each = " | ".join(microseconds(row.seconds.median / steps) for row in rows)
        print(f"| {data.n_inputs} | {width} | {each} | {against} | {asked} | {epoch} |", flush=True)
        case = {"inputs": data.n_inputs, "width": width, "asked": asked, "steps": steps}
        found.append({**case, "best": best, "rows": rows, "epoch": epoch})
    return found


# ---- depth ----


def _deep(
    title: str, cases: list[tuple[int, int, int]], contestants: Callable[[int], list[Contestant]],
    data: ensemble.Dataset, repeats: int,
) -> list[dict[str, object]]:  # fmt: skip
    """Print a line per case (hidden layers, width, asked ratio): all contestants, and ours against the best peer.

    Initial weights are PyTorch's default: their kinks lie apart from the start, so that no step is cheaper than later.
    """
    names = [c.name for c in contestants(16) if importlib.util.find_spec(c.needs)]
    print(f"\n### {title}: us per model and step\n")
    print(f"| L | H | {' | '.join(names)} | best peer, times ours (lowest to highest round) | asked |")
    print("|---|---|" + "---|" * (len(names) + 2))
    found: list[dict[str, object]] = []
    for hidden_layers, width, asked in cases:
        taking_part = contestants(width)
        most = max(c.models for c in taking_part)
        specs = ensemble.grid(width=width, hidden_layers=hidden_layers, seed=range(most), lr=0.01, init="uniform")
        rows = compete(taking_part, specs, data, repeats)
        best = best_peer(rows)
        against = f"{best.name}: {best.ratio}" if best else "none installed"
        times = " | ".join(microseconds(row.seconds.median) for row in rows)
        print(f"| {hidden_layers} | {width} | {times} | {against} | {asked} |", flush=True)
        found.append({"hidden_layers": hidden_layers, "width": width, "asked": asked, "best": best, "rows": rows})
    return found


def deep(repeats: int) -> list[dict[str, object]]:
    """Two and three hidden layers, one input, 420 points: against peers."""

    def contestants(width: int) -> list[Contestant]:
        ours, few = (512, 16) if width == 16 else (64, 8)
        return [
            Contestant("relu-ensemble", peers.engine("auto", CORES), ours, 300, peer=False),
            Contestant("JAX lax.map", peers.jax_scan("map"), few, 100, "jax"),
            Contestant("JAX vmap", peers.jax_scan("vmap"), few, 100, "jax"),
            Contestant("torch vmap, compiled", peers.torch_vmap(compiled=True), few, 100, "torch"),
            Contestant("NumPy, batched", peers.numpy_batched, few, 20),
        ]

    cases = [(2, 16, 20), (2, 64, 25), (3, 16, 6), (3, 64, 6)]
    title = "L hidden layers of H units, one input, 420 points, gd"
    return _deep(title, cases, contestants, alone.original_data(), repeats)


def deep_many(repeats: int) -> list[dict[str, object]]:
    """The same at 100,000 points, where peers get a model or two and few steps."""

    def contestants(width: int) -> list[Contestant]:
        few = 2 if width == 16 else 1
        return [
            Contestant("relu-ensemble", peers.engine("auto", CORES), 32, 1000, peer=False),
            Contestant("JAX lax.map", peers.jax_scan("map"), few, 10, "jax"),
            Contestant("JAX vmap", peers.jax_scan("vmap"), few, 10, "jax"),
            Contestant("torch vmap, compiled", peers.torch_vmap(compiled=True), few, 10, "torch"),
            Contestant("NumPy, batched", peers.numpy_batched, few, 5),
        ]

    cases = [(2, 16, 1000), (2, 64, 1000), (3, 16, 500), (3, 64, 400)]
    title = "The same at 100,000 points"
    return _deep(title, cases, contestants, alone.only_training(100_000), repeats)


def deep_inputs(repeats: int) -> dict[str, object]:
    """Three hidden layers, eight inputs, 1,000 points: against peers, and against the machine's matrix product."""
    data = alone.eight_inputs(1000)

    def contestants(width: int) -> list[Contestant]:
        ours = 64 if width == 16 else 16
        return [
            Contestant("relu-ensemble", peers.engine("auto", CORES), ours, 50, peer=False),
            Contestant("JAX lax.map", peers.jax_scan("map"), 8, 30, "jax"),
            Contestant("JAX vmap", peers.jax_scan("vmap"), 8, 30, "jax"),
            Contestant("torch vmap, compiled", peers.torch_vmap(compiled=True), 8, 30, "torch"),
            Contestant("torch.bmm", peers.torch_bmm, 8, 30, "torch"),
            Contestant("NumPy, batched", peers.numpy_batched, 8, 10),
        ]

    cases = [(3, 16, 2), (3, 64, 2)]
    rows = _deep("Three hidden layers, 8 inputs, 1,000 points, gd", cases, contestants, data, repeats)
    shares = [alone.product_share(data, 3, width, repeats, asked=0.6) for width in (16, 64)]
    return {"rows": rows, "shares": shares}


# Each prints its tables and returns what is kept of them; with what it needs to be installed.
PARTS: dict[str, tuple[Callable[[int], object], str]] = {
    "wide": (wide, "numpy"),
    "minute": (minute, "numpy"),
    "width-curve": (width_curve, "sklearn"),
    "inputs": (inputs, "numpy"),
    "batches": (batches, "numpy"),
    "deep": (deep, "numpy"),
    "deep-many": (deep_many, "numpy"),
    "deep-inputs": (deep_inputs, "threadpoolctl"),
    "product": (alone.product, "threadpoolctl"),
    "ratios": (alone.ratios, "numpy"),
    "growth": (alone.growth, "numpy"),
    "plain": (alone.plain_steps, "numpy"),
    "cold": (alone.cold, "numpy"),
    "curves": (alone.curves, "numpy"),
    "crossing": (alone.crossing, "numpy"),
    "store": (alone.store, "numpy"),
    "dask": (alone.dask, "distributed"),
}
ON_REQUEST = ("crossing", "store", "dask")


def main() -> None:
    """Run everything, or some parts."""
    described = "\n".join(f"  {name:12} {str(run.__doc__).splitlines()[0]}" for name, (run, _) in PARTS.items())
    usual = [name for name in PARTS if name not in ON_REQUEST]
    parser = argparse.ArgumentParser(
        description=__doc__, epilog="parts:\n" + described, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=3, help="rounds of each comparison (default: 3)")
    parser.add_argument(
        "--only", nargs="*", choices=list(PARTS), metavar="PART", default=usual,
        help=f"which parts (default: all but {', '.join(ON_REQUEST)}); none: draw what benchmark.json holds",
    )  # fmt: skip
    parser.add_argument("--out", type=Path, default=Path("results/benchmark"), help="where the figure and the JSON go")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    kept = arguments.out / "benchmark.json"
    found = json.loads(kept.read_text()) if kept.exists() else {}
    print(f"{machine()}, {time.strftime('%Y-%m-%d')}")
    for name in arguments.only:
        run, needs = PARTS[name]
        if not importlib.util.find_spec(needs):
            print(f"\nleft out, {needs} is not installed: {name}")
            continue
        start, others = time.perf_counter(), OtherPrograms()
        result = run(arguments.repeats)
        others_share = others.share()
        found[name] = {
            "found": result, "machine": machine(), "date": time.strftime("%Y-%m-%d"), "version": ensemble.__version__,
            "repeats": arguments.repeats, "seconds": round(time.perf_counter() - start, 1),
            "other programs": others_share,
        }  # fmt: skip
        beside = "" if others_share is None else f"; other programs took {others_share:.0%} of the machine's time"
        print(f"\n({name} took {found[name]['seconds']} s{beside})", flush=True)
        kept.write_text(json.dumps(found, indent=1, default=vars) + "\n")
    if "curves" in found and (not arguments.only or "curves" in arguments.only):
        curves = json.loads(kept.read_text())["curves"]["found"]
        (arguments.out / "benchmark.png").write_bytes(cost_curves.draw(curves))
    print(f"\nThe figures are in {arguments.out}")


if __name__ == "__main__":
    main()

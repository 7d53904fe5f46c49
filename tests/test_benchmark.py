"""The benchmark: its contestants train the same networks, others are refused, and what it measures can be drawn."""

import sys
from pathlib import Path

import numpy as np
import pytest

import ensemble

sys.path.insert(0, str(Path(__file__).parents[1] / "scripts"))

import batched
import benchmark
import cost_curves
import peers
import plain
import timing

pytestmark = pytest.mark.jit_heavy  # what is measured here is compiled


def task(hidden_layers, epochs=5, batch_size=0):
    specs = ensemble.grid(width=3, hidden_layers=hidden_layers, seed=range(2), init="uniform", batch_size=batch_size)
    return peers.Task(specs, ensemble.sample("reciprocal_sine", n=40, seed=0), epochs)


@pytest.mark.parametrize("hidden_layers", [1, 2, 3])
@pytest.mark.parametrize(
    ("needs", "contestant"),
    [
        ("numpy", peers.numpy_loop),
        ("torch", peers.torch_loop),
        ("torch", peers.torch_bmm),
        ("torch", peers.torch_vmap(compiled=False)),
        ("jax", peers.jax_scan("map")),
        ("jax", peers.jax_scan("vmap")),
    ],
)
def test_contestants_train_the_same_networks(needs, contestant, hidden_layers):
    pytest.importorskip(needs)
    errors = contestant(task(hidden_layers))()
    np.testing.assert_allclose(errors, peers.numpy_batched(task(hidden_layers))(), rtol=1e-12)


@pytest.mark.parametrize("batch_size", [10, 14])
@pytest.mark.parametrize(
    ("needs", "contestant"),
    [
        ("torch", batched.torch_vmap(compiled=False)),
        ("jax", batched.jax_scan("map")),
        ("jax", batched.jax_scan("vmap")),
    ],
)
def test_contestants_in_batches_train_the_same_networks(needs, contestant, batch_size):
    pytest.importorskip(needs)
    errors = contestant(task(1, batch_size=batch_size))()
    np.testing.assert_allclose(errors, peers.numpy_batched(task(1, batch_size=batch_size))(), rtol=1e-12)
    assert (errors != peers.numpy_batched(task(1))()).all()


def test_the_plain_step_trains_the_same_networks():
    simple = plain.Plain(task(1, epochs=50))
    simple()
    np.testing.assert_allclose(simple.errors(), peers.numpy_batched(task(1, epochs=50))(), rtol=1e-12)


def test_a_contestant_that_ends_elsewhere_is_refused():
    specs, data, _ = task(1)
    ours = timing.Contestant("ours", peers.numpy_batched, 2, 5, peer=False)
    lazy = timing.Contestant("lazy", lambda task: peers.numpy_batched(task._replace(epochs=4)), 2, 5)
    with pytest.raises(AssertionError, match="lazy"):
        timing.compete([ours, lazy], specs, data, 1)


def test_the_best_peer_is_the_fastest_that_is_not_ours():
    def row(name, ratio, peer):
        same = timing.Spread(ratio, ratio, ratio)
        return timing.Row(name, same, same, peer)

    rows = [row("ours", 1.0, False), row("slow", 9.0, True), row("fast", 4.0, True), row("our other", 2.0, False)]
    assert timing.best_peer(rows).name == "fast"
    assert timing.best_peer(rows[:1]) is None


@pytest.mark.parametrize(
    ("seconds", "text"), [(7.746e-8, "0.0775"), (3.02e-6, "3.02"), (1.6666e-3, "1,670"), (0.123456, "123,000")]
)
def test_times_have_three_digits(seconds, text):
    assert timing.microseconds(seconds) == text


def test_the_costs_are_drawn_with_their_numbers_in_the_titles():
    widths, many = [(1, 0.1), (1024, 8.0)], [(100, 0.3), (1000, 0.5), (10**6, 1.0)]
    found = {
        "width": {"gd": widths, "adam": widths, "dense": [(1, 9.0), (1024, 80.0)]},
        "samples": {"16": many, "64": many, "256": many},
        "depth": {"1": many, "2": many, "3": many},
        "models": {"16": [(1, 3.0), (1024, 0.1)], "64": [(1, 3.0), (1024, 0.3)]},
    }
    titles = [ax.get_title() for ax in cost_curves.figure(found).axes]
    for title, number in zip(titles, ("10 times", "2.0 times", "2.0 to 2.0", "30 times"), strict=True):
        assert number in title
    assert cost_curves.draw(found).startswith(b"\x89PNG")


def test_help_names_every_part(capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["benchmark.py", "--help"])
    with pytest.raises(SystemExit):
        benchmark.main()
    shown = capsys.readouterr().out
    assert all(f"\n  {name} " in shown for name in benchmark.PARTS)

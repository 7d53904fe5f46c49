# %% tags=["remove-cell"]
"""A tour of the library in a minute, to read, run, or open as a notebook: each `# %%` begins a cell."""

import argparse

if __name__ == "__main__" and "__file__" in globals():  # a script, not a notebook
    argparse.ArgumentParser(description=__doc__).parse_args()

# %% [markdown]
# # A tour of relu-ensemble in a minute

# %% [markdown]
# ## What to learn: 420 noisy samples of f(x) = -2 / (2 + sin x) to train on, 180 to test

# %%
import numpy as np

import ensemble
from ensemble import limits, statistics
from ensemble.plots import WidthCurveDisplay
from ensemble.studies import width_study

data = ensemble.sample("reciprocal_sine", n=600, test_fraction=0.3, noise=0.01, seed=0)
print(data)

# %% [markdown]
# ## Which models: every combination of these settings, one row each

# %%
specs = ensemble.grid(width=[4, 16, 64, 256], seed=range(16), lr=[0.03, 0.1], hidden_bias=[True, False])
print(specs)

# %% [markdown]
# ## Train all of them in one pass

# %%
result = ensemble.train(specs, data, epochs=500)
print(result)

# %% [markdown]
# ## Rows are models: masks choose them, and the last column is the last epoch

# %%
for width in (4, 16, 64, 256):
    chosen = (specs.width == width) & specs.hidden_bias & (specs.lr == 0.1)
    errors = result.test_loss[chosen, -1]
    low, high = statistics.bootstrap_interval(errors)
    print(f"width {width:3}: median test MSE {np.median(errors):.2e} [{low:.1e}, {high:.1e}] over {len(errors)} seeds")

# %% [markdown]
# ## What is the hidden bias worth at width 64? The same seeds start from the same weights: compare in pairs

# %%
of_64 = (specs.width == 64) & (specs.lr == 0.1)
with_bias, without = specs.hidden_bias & of_64, ~specs.hidden_bias & of_64
found = statistics.compare(
    result.test_loss[without, -1], result.test_loss[with_bias, -1], specs.seed[without], specs.seed[with_bias]
)
print(f"without hidden bias the error is {np.exp(found.median_log_ratio):.0f} times as high, p = {found.p_value:.1g}")

# %% [markdown]
# ## And what is possible? No network of width 4 or 16 can have a lower training error than this

# %%
x, y = data.x_train[:, 0], data.y_train
print("width floors:", limits.width_floor(x, y, [4, 16]), " without hidden bias:", limits.no_bias_floor(x, y))
built = limits.constructive_bound(x, y, 16)
print("a network of width 16 that exists:", np.mean((built.predict(x) - y) ** 2))

# %% [markdown]
# ## Early stopping is a loop of calls: each goes on from the last result, to the bits of one run

# %%
settings = {"width": [4, 16, 64], "seed": range(8), "lr": np.geomspace(0.003, 0.3, 8), "optimizer": ["gd", "adam"]}
going = ensemble.train(ensemble.grid(**settings), data, epochs=50, keep_state=True)
while len(going) and (epoch := int(going.epochs[-1])) < 800:
    best, last = going.val_loss[:, :-1].min(axis=1), going.val_loss[:, -1]
    going = going[last < 0.98 * best]  # the others have stopped improving
    print(f"epoch {epoch:3}: {len(going):3} of {len(best)} models still improve")
    if len(going):
        going = ensemble.train(going.specs, data, epochs=epoch + 50, initial=going, keep_state=True)

# %% [markdown]
# ## So is successive halving: the better half trains twice as long, until one is left

# %%
rung = ensemble.train(ensemble.grid(**settings), data, epochs=10, keep_state=True)
while len(rung) > 1:
    half = rung[np.argsort(rung.val_loss[:, -1])[: len(rung) // 2]]
    rung = ensemble.train(half.specs, data, epochs=2 * int(half.epochs[-1]), initial=half, keep_state=True)
print(f"the last of {len(ensemble.grid(**settings))}, after {rung.epochs[-1]} epochs: {rung.specs[0]}")
print(f"its test MSE: {rung.test_loss[0, -1]:.2e}")

# %% [markdown]
# ## One network, and all of one width as stacked tensors

# %%
network = result.networks[int(np.flatnonzero(with_bias)[0])]
print("predictions:", network.predict([-1.0, 0.0, 1.0]))
print("first weights of all networks of width 16:", result.networks.stack(width=16).weights[0].shape)

# %% [markdown]
# ## A whole study, with the learning rate chosen for each width on validation data, and its plot

# %%
study = width_study("quadratic", widths=[2, 4, 8, 16, 32], seeds=8, epochs=300).run()
display = WidthCurveDisplay(study.curves(), noise_variance=study.datasets["quadratic"].noise_variance).plot()
print(study.outcome())
# display.figure_.savefig("quadratic.png"), or let a notebook show it:
display.figure_  # noqa: B018

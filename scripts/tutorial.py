"""A tour of the library in a minute, to read, run, or open as a notebook: each `# %%` begins a cell."""

import argparse

if __name__ == "__main__" and "__file__" in globals():  # a script, not a notebook
    argparse.ArgumentParser(description=__doc__).parse_args()

# %% What to learn: 420 noisy samples of f(x) = -2 / (2 + sin x) to train on, 180 to test
import numpy as np

import ensemble
from ensemble import limits, statistics
from ensemble.plots import WidthCurveDisplay
from ensemble.studies import width_study

data = ensemble.sample("reciprocal_sine", n=600, test_fraction=0.3, noise=0.01, seed=0)
print(data)

# %% Which models: every combination of these settings, one row each
specs = ensemble.grid(width=[4, 16, 64, 256], seed=range(16), lr=[0.03, 0.1], hidden_bias=[True, False])
print(specs)

# %% Train all of them in one pass
result = ensemble.train(specs, data, epochs=500)
print(result)

# %% Rows are models: masks choose them, and the last column is the last epoch
for width in (4, 16, 64, 256):
    chosen = (specs.width == width) & specs.hidden_bias & (specs.lr == 0.1)
    errors = result.test_loss[chosen, -1]
    low, high = statistics.bootstrap_interval(errors)
    print(f"width {width:3}: median test MSE {np.median(errors):.2e} [{low:.1e}, {high:.1e}] over {len(errors)} seeds")

# %% What is the hidden bias worth at width 64? The same seeds start from the same weights: compare in pairs
of_64 = (specs.width == 64) & (specs.lr == 0.1)
with_bias, without = specs.hidden_bias & of_64, ~specs.hidden_bias & of_64
found = statistics.compare(
    result.test_loss[without, -1], result.test_loss[with_bias, -1], specs.seed[without], specs.seed[with_bias]
)
print(f"without hidden bias the error is {np.exp(found.median_log_ratio):.0f} times as high, p = {found.p_value:.1g}")

# %% And what is possible? No network of width 4 or 16 can have a lower training error than this
x, y = data.x_train[:, 0], data.y_train
print("width floors:", limits.width_floor(x, y, [4, 16]), " without hidden bias:", limits.no_bias_floor(x, y))
built = limits.constructive_bound(x, y, 16)
print("a network of width 16 that exists:", np.mean((built.predict(x) - y) ** 2))

# %% One network, and all of one width as stacked tensors
network = result.networks[int(np.flatnonzero(with_bias)[0])]
print("predictions:", network.predict([-1.0, 0.0, 1.0]))
print("first weights of all networks of width 16:", result.networks.stack(width=16).weights[0].shape)

# %% A whole study, with the learning rate chosen for each width on validation data, and its plot
study = width_study("quadratic", widths=[2, 4, 8, 16, 32], seeds=8, epochs=300).run()
display = WidthCurveDisplay(study.curves(), noise_variance=study.datasets["quadratic"].noise_variance).plot()
print(study.outcome())
# display.figure_.savefig("quadratic.png"), or let a notebook show it:
figure = display.figure_

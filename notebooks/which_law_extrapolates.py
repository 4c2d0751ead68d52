# %% [markdown]
# # Which law extrapolates
#
# **Several laws fit my runs. Which one may I believe about a model that I have not trained?**
#
# A law is fitted to small runs and asked about large ones, so it should be judged by just that: fit to the smallest
# sizes, predict the next one, add it, predict the one after. To see that such a test picks the right law the truth
# must be known, so this table is *simulated*: eight sizes, six budgets each, from a Chinchilla surface with an
# irreducible loss of 1.8, and 0.3 % of noise a run. Put your own table in its place.

# %%
import numpy as np
import pandas as pd
from matplotlib import pyplot as plt

import lbscale

n_params, n_tokens = (
    grid.ravel() for grid in np.meshgrid(np.geomspace(2e7, 3e9, 8), np.geomspace(2e9, 2e11, 6), indexing="ij")
)


def truth(n_params, n_tokens):
    return 1.8 + 480 / n_params**0.35 + 2100 / n_tokens**0.37


noise = np.exp(0.003 * np.random.default_rng(0).normal(size=n_params.size))
table = pd.DataFrame({"n_params": n_params, "n_tokens": n_tokens, "loss": truth(n_params, n_tokens) * noise})

# %%
comparison = lbscale.compare(table, ["chinchilla", "skaling", "kaplan"], windows="size")
axis = lbscale.report.figures.held_out(comparison)

# %% [markdown]
# **Look at whether a law goes down to the noise, and whether it goes up again.** Every point is an error on a size
# that the law had not seen. A run scatters by 0.3 % whatever the law, so that none can do better than about 0.24 %,
# the mean size of such noise; one that is down there has nothing left to gain. `kaplan`, which has no irreducible
# loss, is off by more and more as the sizes grow.
#
# What the figure does not say: these are steps of one size, a factor of two. Errors grow with the reach, and a law
# can be the best at a short step and not at a long one.

# %%
comparison

# %% [markdown]
# The table has the differences with intervals, over sizes rather than rows, since rows of one size err together. *No
# difference* is the honest answer for two laws of which one contains the other: `skaling` becomes `chinchilla` for
# one value of its exponent, and the data cannot pay for telling more. Take the simpler one.
#
# Choosing the best of several makes its error look better than it is. `nested` chooses in each window by the windows
# inside it and gives the error of what was *chosen*:

# %%
comparison.nested["chosen"], comparison.nested["mean_relative_error"], comparison.errors

# %% [markdown]
# ## A longer reach
#
# Windows by compute fit to runs of up to C FLOPs, and predict those of ten times as much and more.

# %%
far = lbscale.compare(table, ["chinchilla", "skaling", "kaplan"], windows="compute")
axis = lbscale.report.figures.held_out(far)

# %% [markdown]
# Where there are few rows to fit to, `skaling` is far worse than `chinchilla`, of which it is a generalisation: a
# further parameter costs more than it brings until the data can pay for it. With most of the table the two meet
# again.
#
# ## What that means for the model I want
#
# All three laws through all runs, drawn out to 70 B params at 20 tokens a param. The data ends at the vertical line.
# Rings are the truth, which a table of your own would not have; two of the laws lie on one another.

# %%
colours = {"chinchilla": "#1f6f8b", "skaling": "#c8553d", "kaplan": "#1c2733"}
sizes = np.geomspace(2e8, 7e10, 50)
figure, axis = plt.subplots(figsize=(7, 4), layout="constrained")
for name, fit in far.fits.items():
    said = [fit.predict(n_params=size, n_tokens=20 * size) for size in sizes]
    low, high = np.array([point.interval_mean for point in said]).T
    axis.plot(sizes, [point.value for point in said], color=colours[name], label=name)
    axis.fill_between(sizes, low, high, color=colours[name], alpha=0.15, lw=0)
axis.plot(sizes[::7], truth(sizes, 20 * sizes)[::7], "o", mfc="none", color="grey", label="truth")
axis.axvline(table["n_params"].max(), color="grey", lw=1)
axis.set(xscale="log", xlabel="params, 20 tokens each", ylabel="loss", title="Mean of each law and its 95 % interval")
legend = axis.legend()

# %% [markdown]
# An interval holds *if the law does*. Kaplan's band ends far below the truth: no interval of a law knows that the law
# is the wrong one. That is what the held-out errors are for.
#
# The bands of the other two are narrow, and miss the last ring by half a per cent, though one of these laws is the
# truth. Of 300 tables simulated so, Chinchilla's 95 % interval held the truth at that size in 97 %; this one is among
# the others, as one in twenty may be.

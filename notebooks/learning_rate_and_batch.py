# %% [markdown]
# # Learning rate and batch size
#
# **With which learning rate and batch should a model be trained, and how much does it cost to miss them?**
#
# The table is the project's own: 86 runs in twelve cells of size and tokens, a few settings in each. One law,
# `joint`, has a surface for the loss at the best settings and a bowl about these, and is fitted to all cells at once.
# So no cell needs a full grid of its own.

# %%
from matplotlib import pyplot as plt

import lbscale

fit = lbscale.fit("../results/tour/table.csv", law="joint", where="stage == 'study'")
axes = lbscale.report.figures.optimum(fit)

# %% [markdown]
# **Look at the dashed lines before the solid one.** They bound the *plateau*: what lies between them gives up at most
# 1 % of the loss. For the learning rate it reaches a factor of 1.8 to either side, so that its third digit is no
# loss; a batch can be chosen for speed as long as it stays below the upper line. The shaded interval says how well
# the best setting itself is known; where the plateau is wider, knowing it better would buy little.
#
# Dots are the best single runs of each cell. They scatter by more than the interval, since each is the luckiest of a
# few tried settings. The law is fitted to all runs, and to no such point.
#
# What the figure does not say: weight decay, betas, warm-up and schedule were held constant, and another choice of
# them moves the best learning rate. The last doubling in each panel lies beyond the data.
#
# ## Are the bowls right?

# %%
axes = lbscale.report.figures.tuning(fit)

# %% [markdown]
# A panel is a cell, a colour a batch. Look for cells where the points of one colour rise to one side and the curve
# does not; and for cells where the best point is the outermost one, where the grid ended too early. At 1.05 M tokens
# and 83 k params all points lie below their curves: there it is the surface that is off and not the bowl. Three
# learning rates at one batch are the least that shows where a bowl has its bottom.
#
# ## What the plateau is for a given model

# %%
point = {"n_params": 145_920, "n_tokens": 786_432}
{percent: fit.plateau(percent, **point) for percent in (0.25, 1.0)}

# %%
{name: (best["value"], best["interval"]) for name, best in fit.optimum(**point).items()}

# %% [markdown]
# ## What following the law gave up
#
# A law of settings is as good as the loss one pays for following it. In every cell, take the setting tried that lies
# nearest to the law's advice, and compare its loss with the best in the cell.

# %%
table = lbscale.laws.read_table("../results/tour/table.csv").query("stage == 'study'")
given_up = lbscale.laws.loss_given_up(table, fit)
cells = [f"{n / 1e3:.0f} k, {d / 1e3:,.0f} k" for n, d in given_up[["n_params", "n_tokens"]].to_numpy()]
figure, axis = plt.subplots(figsize=(6, 3.6), layout="constrained")
axis.barh(cells, 100 * given_up["given_up"], color="#1f6f8b")
axis.axvline(100 * fit.noise.new_run_sd, color="#c8553d", ls="--", label="scatter of one run")
axis.set(xlabel="loss given up, %", ylabel="params, tokens", title="Following the law, against the best run tried")
legend = axis.legend()

# %% [markdown]
# Where there is no bar, the tried setting nearest to the advice is the best of the cell. Differences below the
# scatter of a run (dashed) are luck in either direction: the best of several runs is a lucky one, so that even
# perfect advice seems to give up something. This law was fitted to these very cells; a fair account leaves a size out
# and follows a law of the others, which `laws.leave_one_size_out` does for tables with a full grid in each cell.
#
# With such grids, ask for `law="step_law"` (the best settings of each cell, and power laws through them) or
# `law="batch_upper_edge"` (the largest batch that gives up at most 1 %).

# %% [markdown]
# # What to run next
#
# **I have some runs, some FLOPs left, and a model in mind. Which runs would tell me most about it?**
#
# Twenty runs of five sizes are there. The model in mind has 7 B params and 140 B tokens, twenty times the largest.
# The table is *simulated* from a known Chinchilla surface with 0.4 % of noise, so that the advice can be followed and
# checked at the end.

# %%
import numpy as np
import pandas as pd
from matplotlib import pyplot as plt

import lbscale


def trained(runs, seed):
    """The runs with the losses that training them would give."""
    loss = 1.8 + 480 / runs["n_params"] ** 0.35 + 2100 / runs["n_tokens"] ** 0.37
    return runs.assign(loss=loss * np.exp(0.004 * np.random.default_rng(seed).normal(size=len(runs))))


sizes, budgets = np.geomspace(2e7, 3e8, 5), np.geomspace(1e9, 3e10, 4)
table = trained(pd.DataFrame([(n, d) for n in sizes for d in budgets], columns=["n_params", "n_tokens"]), seed=0)
target = {"n_params": 7e9, "n_tokens": 1.4e11}

# %% [markdown]
# These twenty cost 1.5e20 FLOPs, by 6ND. What would twice as much buy?

# %%
advice = lbscale.laws.next_runs(table, "chinchilla", target=target, budget=3e20, max_runs=12)
advice

# %%
chosen = advice.runs.groupby(["n_params", "n_tokens"]).size().reset_index(name="repeats")
figure, axis = plt.subplots(figsize=(6, 3.8), layout="constrained")
axis.plot(table["n_params"], table["n_tokens"], "o", ms=5, color="#8a96a3", label="there already")
area = 70 * chosen["repeats"]
axis.scatter(chosen["n_params"], chosen["n_tokens"], area, "#c8553d", alpha=0.6, label="to train (area: repeats)")
axis.plot(*target.values(), "*", ms=12, color="#1c2733", label="asked about")
axis.set(xscale="log", yscale="log", xlabel="params", ylabel="training tokens", title="The runs that tell most")
legend = axis.legend(loc="upper left")

# %% [markdown]
# **Look at where the runs are.** They stand at the corners of what can be trained: large models, as near to the
# target as one step beyond the table comes, and cheap ones at the other end, which hold the slopes. One setting in
# the middle is repeated. Many designs are as good as this one, so a run can be moved to a neighbour that suits you
# better.
#
# What the figure does not say: the choice trusts the law. Runs at the corners would hardly show that the law bends
# between them, so keep others in the middle if you are not sure of the form (see the notebook on extrapolation).
#
# ## How much is enough

# %%
rows = []
for budget in (3e19, 1e20, 3e20, 1e21):
    said = lbscale.laws.next_runs(table, "chinchilla", target=target, budget=budget, max_runs=20, draws=4)
    rows.append((budget, *said.answers["loss"]["interval_after"]))
before, value = advice.answers["loss"]["interval_before"], advice.answers["loss"]["value"]
budget, low, high = np.array(rows).T

figure, axis = plt.subplots(figsize=(6, 3.4), layout="constrained")
axis.fill_between([2e19, 1.5e21], *before, color="#8a96a3", alpha=0.25, lw=0, label="95 % as it is")
axis.vlines(budget, low, high, color="#1f6f8b", lw=3, label="95 % to expect")
axis.axhline(value, color="#8a96a3", lw=1)
axis.set(xscale="log", xlabel="FLOPs for further runs", ylabel="loss of the 7 B model", title="What the next FLOPs buy")
legend = axis.legend()

# %% [markdown]
# A fifth of what the table cost takes more off the interval than all that follows. Where the bars stop shrinking, the
# FLOPs are better spent on the model itself.
#
# ## Following the advice
#
# Train the chosen runs (here: simulate them), add them to the table, and fit again. Below are the interval as it was,
# the one to expect, and the one that came. Its width is what was promised; where it lies could not be.

# %%
after = lbscale.fit(pd.concat([table, trained(advice.runs, seed=1)], ignore_index=True), law="chinchilla")
(
    advice.answers["loss"]["interval_before"],
    advice.answers["loss"]["interval_after"],
    after.predict(**target).interval_mean,
)

# %%
truth = 1.8 + 480 / target["n_params"] ** 0.35 + 2100 / target["n_tokens"] ** 0.37
truth

# %% [markdown]
# The truth lies inside the first interval and the last, and not at the middle of either.
#
# ## Where runs share a trunk
#
# With warmup-stable-decay, a second token budget of the same size costs its new stretch and a decay, not a run from
# the start. Say which share of a run its decay is (`decay_share=0.2`), and runs of one `trunk` are priced together.
# They also share part of their error, so that a ladder of budgets on one trunk tells less than as many runs from the
# start; whether it is the better buy, the choice weighs. What one more run adds to a study that is planned already,
# `lbscale.plan.marginal_cost` counts.

# %% [markdown]
# # Fit a law to your own runs
#
# **What will a larger model's loss be, and with which settings should it be trained?**
#
# The table here is the project's own: 86 runs of four models of 14 k to 83 k params, trained on bytes of Python's
# standard library, and 5 runs of a fifth model, twice as large, which were trained after the law had spoken. Any
# table will do that has a row a run with `n_params`, `n_tokens`, `learning_rate`, `batch_size_tokens` and `loss`;
# columns under other names are given as `map={"loss": "val_loss"}`. The law `joint` needs settings that were varied;
# without them, ask for `chinchilla`.

# %%
import lbscale

fit = lbscale.fit("../results/tour/table.csv", law="joint", where="stage == 'study'")
upper, lower = lbscale.report.law_figure(fit)

# %% [markdown]
# **Look at the lower panel first.** A law that fits leaves a cloud about zero. Here it leaves a slope at 1 M tokens:
# the smallest model did worse than the law says, and the largest better. The band is that of the law's mean, not of a
# run.
#
# Runs were made with different learning rates and batches; each is moved along the law to the best settings for its
# size and tokens, so that one curve a size is enough. What the figure does not say: whether that correction is right
# (the notebook on learning rate and batch looks at it), and anything beyond the data.
#
# A fit shows itself: what it found, what it could not know, and its residuals.

# %%
fit

# %% [markdown]
# *Not identified* means that the data is as happy with very different values, so there is no number to quote. Four
# sizes within a factor of six cannot tell the irreducible loss `E` from slow power laws. A prediction can be good
# nevertheless as long as it stays near the data, since the parameters' errors cancel there.
#
# ## The next model up
#
# The fifth model has 146 k params. The first interval is the law's own uncertainty, the second that of one more run.

# %%
size, tokens = 145_920, 786_432
said = fit.predict(n_params=size, n_tokens=tokens)
said.value, said.interval_mean, said.interval_new_run

# %%
said.extrapolation, said.warnings

# %% [markdown]
# The axes are matplotlib's, so that what was measured can be drawn beside what was said. Five runs were trained: the
# recommended settings, and four neighbours with half and double the learning rate or the batch.

# %%
table = lbscale.laws.read_table("../results/tour/table.csv")
measured = table.query("stage == 'follow_up'")
upper, _ = lbscale.report.law_figure(fit)
mean, run = ([[abs(end - said.value)] for end in interval] for interval in (said.interval_mean, said.interval_new_run))
upper.errorbar(tokens, said.value, run, fmt="none", ecolor="#c8553d", lw=1, capsize=4, label="146 k params, one run")
upper.errorbar(tokens, said.value, mean, fmt="_", color="#c8553d", lw=4, label="146 k params, mean of the law")
upper.plot(measured["n_tokens"], measured["loss"], "*", color="#1c2733", ms=8, label="146 k params, measured")
upper.set_ylim(1.45, 2.25)
legend = upper.legend(fontsize=8)

# %% [markdown]
# One prediction that came true says little. The interval of a run is 8 % wide, and there are rules that need no law:
# to carry over the best loss of the largest model, or to draw a straight line through the best losses at each
# compute.

# %%
lbscale.laws.baselines(table.query("stage == 'study'"), n_params=size, n_tokens=tokens)

# %% [markdown]
# Carrying over was nearly as close, since the new model is little larger and has fewer tokens. What a law is worth
# shows further out, and over many predictions: see the notebook on extrapolation.
#
# ## What to train with
#
# `recommend` answers for a size and tokens, or for a budget with `flops=`. Every field has an interval, and says
# which law it is from and over which range, schedule and convention that law was fitted.

# %%
answer = lbscale.recommend(fit, n_params=size, n_tokens=tokens)
{name: (answer[name]["value"], answer[name]["interval"]) for name in ("learning_rate", "batch_size_tokens", "loss")}

# %%
answer["learning_rate"]["valid_for"], answer["warnings"]

# %% [markdown] tags=["deeper"]
# # 1 Pruning, deeper
#
# Sections that stand alone. Run the set-up cell, then any section. The curves were measured beforehand, with several
# seeds; `make shipped` measures them again.
#
# | section | minutes | you need |
# |---|---|---|
# | 1 Do the first weights matter? The lottery ticket | 25 | masks, repair |
# | 2 One cut or many? The saw | 20 | repair |
# | 3 Can one choose before training? | 15 | scores |
# | 4 Large and sparse, or small and dense? | 15 | the bar to beat |
# | 5 Can training push channels out? Slimming | 15 | filters |
# | 6 Two of every four | 15 | masks |
# | 7 When do zeros save bytes, when time? | 20 | file and clock |

# %% tags=["setup"]
import numpy as np
import torch
from scipy.sparse import csr_matrix
from torchvision.models import resnet18

from labcore import metrics, plots, prune, search, storage, text
from labcore.lesson import checks, claims, quiz
from labcore.results import Curve

def pick(name, label):
    return {curve.family: curve for curve in search.load_curves(name) if curve.label == label}

# %% [markdown] tags=["deeper"] minutes=25
# ## 1 Do the first weights matter?
#
# Train, cut a fifth of what is left, set the survivors back to their very first values, repeat. Two controls use the
# same number of weights: the same mask with new weights, and a random mask with the first weights. Which learns
# fastest?

# %% tags=["deeper"]
early, late = pick("lottery", "after 100 updates"), pick("lottery", "after 400 updates")
tickets = plots.Curves("share of the weights that is left (log scale)", search.sweep_date("lottery"), log=True)
tickets.update(list(early.values()))
tickets

# %% tags=["reveal"]
fifth = int(abs(early["winning ticket"].x - 0.211).argmin())
gaps = [(c["winning ticket"].mean - c["same mask, new weights"].mean)[fifth] for c in (early, late)]
quiz.reveal(claims.holds("32a", gaps[0]))

# %% tags=["reveal"]
quiz.reveal(claims.holds("32b", gaps[1]))

# %% [markdown] tags=["deeper"]
# **What we saw.** The mask alone is not enough, and the first weights alone are not enough: the ticket is the pair.
# For larger networks with well chosen learning rates this gap can vanish (Liu et al. 2019).

# %% [markdown] tags=["deeper"] minutes=20
# ## 2 One cut or many?
#
# Each cut breaks the network, each training repairs it: the accuracy over time looks like a saw. All curves end with
# the same number of weights, a thirty-second, after the same number of epochs.

# %% tags=["deeper"]
saw = pick("saw", "1/32 left")
chosen = [saw[name] for name in ("one shot", "3 rounds", "8 rounds", "gradual")]
teeth = plots.Curves("epochs of training after the first cut", search.sweep_date("saw"))
teeth.update(chosen)
teeth

# %% tags=["reveal"]
twelfth = pick("saw", "1/12 left")["one shot"].mean
quiz.reveal(claims.holds("25a", twelfth[0] - twelfth[1]))

# %% tags=["reveal"]
quiz.reveal(claims.holds("25b", twelfth[0] - twelfth[-1]))

# %% tags=["reveal"]
quiz.reveal(claims.holds("25c", saw["8 rounds"].mean[-1] - saw["one shot"].mean[-1]))

# %% [markdown] tags=["deeper"]
# **What we saw.** Rounds help when the cut is deep. With Adam instead of SGD the order turns round on this network:
# the optimizer is part of the result. Gradual pruning follows a cubic: fast first, slow last.
#
# **Exercise 1.6** Give the sparsity of the cubic schedule at one step. Before the start it is the initial one, after
# the end the final one.

# %% tags=["exercise"]
# Exercise 1.6: the cubic schedule
def sparsity_at(step, start, end, initial, final):
    # BEGIN SOLUTION
    done = min(max((step - start) / (end - start), 0), 1)
    return final + (initial - final) * (1 - done) ** 3
    # END SOLUTION

# %% tags=["check"]
checks.check("1.6", sparsity_at)

# %% tags=["deeper"]
assert prune.cubic(5, start=0, end=10, final=0.8) == 0.8 * 0.875

# %% [markdown] tags=["deeper"] minutes=15
# ## 3 Can one choose before training?
#
# SNIP scores each weight of an untrained network by one batch: how much would the loss change without it? The
# controls are magnitude and chance.

# %% tags=["deeper"]
scores = pick("scores_at_init", "Xavier")
chart = plots.Curves("share of the weights that goes before training", search.sweep_date("scores_at_init"))
chart.update(list(scores.values()))
chart

# %% tags=["reveal"]
at_98 = {name: curve.mean[2] for name, curve in scores.items()}
quiz.reveal(claims.holds("33", at_98["SNIP"] - at_98["random"]))

# %% tags=["reveal"]
quiz.reveal(claims.does_not_reproduce("34", at_98["SNIP"] - at_98["magnitude"]))

# %% [markdown] tags=["deeper"] minutes=15
# ## 4 Large and sparse, or small and dense?
#
# `lab_cnn` is pruned gradually to the number of weights of narrower dense networks. Indices are not counted here; a
# packed file pays for them.

# %% tags=["deeper"]
sparse = pick("gradual", "all layers together")["lab_cnn, width 16, gradually pruned"]
narrow = [point for point in search.load_sweep("widths") if point.n_params in sparse.x]
values = np.array([point.accuracies[: len(sparse.values)] for point in narrow]).T
dense = Curve("lab_cnn, narrower and dense", "", sparse.x, values, {})
chart = plots.Curves("nonzero weights (log scale)", search.sweep_date("gradual"), log=True)
chart.update([sparse, dense])
chart

# %% tags=["reveal"]
quiz.reveal(claims.holds("36", min(sparse.mean - dense.mean)))

# %% [markdown] tags=["deeper"] minutes=15
# ## 5 Can training push channels out?
#
# Network slimming adds a penalty on the scales of batch norm while it trains. Channels whose scale falls to zero can
# go.

# %% tags=["reveal"]
share = pick("slimming", "share of channels with |gamma| below x")
place = share["penalty 0"].x.tolist().index(0.05)
quiz.reveal(claims.holds("38", share["penalty 0.01"].mean[place] - share["penalty 0"].mean[place]))

# %% [markdown] tags=["deeper"] minutes=15
# ## 6 Two of every four
#
# Some processors skip zeros when exactly two of every four neighbours are zero. The rule costs freedom: is it felt?

# %% tags=["deeper"]
rule = pick("two_four", "lenet_300_100")
chart = plots.Curves("epochs of training after the cut", search.sweep_date("two_four"))
chart.update(list(rule.values()))
chart

# %% tags=["reveal"]
two = rule["2 of every 4"].mean
quiz.reveal(claims.holds("39", two[0] - two[-1]))

# %% [markdown] tags=["exercise"]
# **Exercise 1.7** Keep the two largest magnitudes of every four weights of a row.

# %% tags=["exercise"]
# Exercise 1.7: two of every four
def two_of_four(weights):
    # BEGIN SOLUTION
    groups = weights.abs().reshape(len(weights), -1, 4)
    kept = torch.zeros_like(groups).scatter(2, groups.topk(2, dim=2).indices, 1)
    return kept.reshape(weights.shape)
    # END SOLUTION

# %% tags=["check"]
checks.check("1.7", two_of_four)

# %% [markdown] tags=["deeper"] minutes=20
# ## 7 When do zeros save bytes, when time?
#
# The same matrix with fewer and fewer weights, in every format. Where does each one win? The last column is what gzip
# makes of the dense bytes.

# %% tags=["deeper"]
weight = torch.from_numpy(np.random.default_rng(0).standard_normal((256, 256), dtype=np.float32))
for density in (0.9, 0.5, 0.2, 0.09, 0.02):
    keep = prune.masks_per_layer({"w": weight.abs()}, 1 - density)["w"]
    sizes = storage.encoding_sizes(weight.masked_fill(~keep, 0))
    print(f"{density:4.0%} left:", ", ".join(f"{name} {text.size(size)}" for name, size in sizes.items()))

# %% [markdown] tags=["deeper"]
# Now the clock: a dense product against one in CSR, for one image and for 64, on this machine.

# %% tags=["deeper"]
def speed(density, batch, n=2048):
    dense = np.random.default_rng(0).standard_normal((n, n), dtype=np.float32)
    dense[np.abs(dense) < np.quantile(np.abs(dense), 1 - density)] = 0
    packed, full = csr_matrix(dense), torch.from_numpy(dense)
    images = torch.rand(n, batch)
    slow, fast = metrics.compare_latency(lambda x: full @ x, lambda x: packed @ x.numpy(), images, runs=10)
    return slow.p50_ms / fast.p50_ms

claims.timing("26a", speed(0.09, 1))

# %% tags=["deeper"]
claims.timing("26b", speed(0.09, 64))

# %% tags=["deeper"]
claims.timing("27", speed(0.5, 64))

# %% [markdown] tags=["deeper"]
# Channels that are really gone need no format at all. How much of the fall in MACs does the clock of resnet18 show?

# %% tags=["deeper"]
resnet, images = resnet18(weights=None).eval(), torch.rand(8, 3, 112, 112)
half = prune.apply_channel_plan(resnet, prune.channel_plan(resnet, images[:1], pruning_ratio=0.5))
fewer = metrics.count_macs(resnet, images[:1]) / metrics.count_macs(half, images[:1])
nets = [net.to(memory_format=torch.channels_last) for net in (resnet, half)]
slow, fast = metrics.compare_latency(*nets, images, runs=7, warmup=2)
claims.timing("50", slow.p50_ms / fast.p50_ms / fewer)

# %% [markdown] tags=["deeper"]
# **What we saw.** Every format pays for saying where its values are, and wins only below its own density. Time needs
# few weights left and a routine made for them, or channels that are gone. Where the line lies depends on the machine.
#
# **Exercise 1.5** A map of the layer before is gone. After flattening, the columns of one map stand together. Give
# the smaller weight of the linear layer; `map_size` is the number of values of a map.

# %% tags=["exercise"]
# Exercise 1.5: a map goes, its columns follow
def without_map(weight, map_index, map_size):
    # BEGIN SOLUTION
    first = map_index * map_size
    return torch.cat([weight[:, :first], weight[:, first + map_size :]], dim=1)
    # END SOLUTION

# %% tags=["check"]
checks.check("1.5", without_map)

# %% tags=["deeper"]
claims.summary(1)

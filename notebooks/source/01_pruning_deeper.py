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
# | 8 What hangs together? Coupled channels | 20 | filters |
# | 9 Which score chooses best? | 20 | scores, filters |

# %% tags=["setup"]
import numpy as np
import torch
from scipy.sparse import csr_matrix
from torchvision.models import resnet18

from labcore import data, metrics, models, plots, prune, search, surgery
from labcore.lesson import checks, claims, quiz
from labcore.results import Curve
from labcore.widgets import explorers

def pick(name, label):
    return {curve.family: curve for curve in search.load_curves(name) if curve.label == label}

# %% [markdown] tags=["deeper"] minutes=25
# ## 1 Do the first weights matter?
#
# Train, cut a fifth of what is left, set the survivors back to their very first values, repeat. Two controls use the
# same number of weights: the same mask with new weights, and a random mask with the first weights. Which learns
# fastest?
#
# The slider says how many weights are left. On the left are whole curves, with bands from the lowest to the highest
# seed; on the right the seeds at the dotted line.

# %% tags=["deeper"]
explorers.lottery()

# %% tags=["reveal"]
early, late = pick("lottery", "after 100 updates"), pick("lottery", "after 400 updates")
fifth = int(abs(early["winning ticket"].x - 0.211).argmin())
gaps = [(c["winning ticket"].mean - c["same mask, new weights"].mean)[fifth] for c in (early, late)]
quiz.reveal(claims.holds("32a", gaps[0]))

# %% tags=["reveal"]
thirtieth = int(abs(early["winning ticket"].x - 0.036).argmin())
claims.holds("32c", (early["winning ticket"].mean - early["same mask, new weights"].mean)[thirtieth])
quiz.reveal(claims.holds("32b", gaps[1]))

# %% [markdown] tags=["deeper"]
# **What we saw.** The mask alone is not enough, and the first weights alone are not enough: the ticket is the pair.
# For larger networks with well chosen learning rates this gap can vanish (Liu et al. 2019).

# %% [markdown] tags=["deeper"] minutes=20
# ## 2 One cut or many?
#
# Each cut breaks the network, each training repairs it: the accuracy over time looks like a saw. All schedules end with
# the same number of weights after the same number of epochs. Choose which ones to compare.

# %% tags=["deeper"]
explorers.saw()

# %% tags=["reveal"]
saw, twelfth = pick("saw", "1/32 left"), pick("saw", "1/12 left")["one shot"].mean
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
at_98, at_99 = ({name: curve.mean[place] for name, curve in scores.items()} for place in (2, 3))
claims.holds("33b", at_99["SNIP"] - at_99["random"])
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
# go. Choose the penalty, then move the cut: how many channels lie under it, and who needs them?

# %% tags=["deeper"]
explorers.slimming()

# %% tags=["reveal"]
share = pick("slimming", "share of channels with |gamma| below x")
place = share["penalty 0"].x.tolist().index(0.05)
tuned = pick("slimming", "accuracy, 40 % of the channels pruned")
claims.holds("38b", tuned["penalty 0"].mean[0] - tuned["penalty 0.01"].mean[-1])
quiz.reveal(claims.holds("38", share["penalty 0.01"].mean[place] - share["penalty 0"].mean[place]))

# %% [markdown] tags=["deeper"] minutes=15
# ## 6 Two of every four
#
# Some processors skip zeros when exactly two of every four neighbours are zero. The rule costs freedom: is it felt?
# The panel cuts `lab_cnn` and trains nothing afterwards.

# %% tags=["deeper"]
explorers.two_four(models.load_model("lab_cnn"), data.load_dataset("fashion14"))

# %% [markdown] tags=["deeper"]
# Now LeNet-300-100, trained again after the cut, beside the same training without a cut.

# %% tags=["deeper"]
rule = pick("two_four", "lenet_300_100")
chart = plots.Curves("epochs of training after the cut", search.sweep_date("two_four"))
chart.update(list(rule.values()))
chart

# %% tags=["reveal"]
normal = torch.randn(256, 1024, generator=torch.Generator().manual_seed(0)).abs()
kept = normal.reshape(-1, 4).topk(2, dim=1).values.sum() / normal.sum()
claims.holds("39b", kept.item())
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
# The same layer with fewer and fewer weights, in every format. The value takes four bytes; what comes on top says where
# it stands. Where does each format win? Diamonds mark where the smallest one changes. gzip packs the dense bytes, and
# must be unpacked before use.

# %% tags=["deeper"]
explorers.formats()

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

# %% [markdown] tags=["deeper"] minutes=20
# ## 8 What hangs together?
#
# A channel that goes must go everywhere: from the layer that makes it, from batch norm, from every layer that reads
# it. `surgery.find_couplings` follows each channel through the network. Guess first: from how many layers of resnet18
# must one channel of `conv1` be taken?

# %% tags=["deeper"]
explorers.couplings(torch.zeros(1, 3, 32, 32))

# %% [markdown] tags=["deeper"]
# Count by hand what one channel takes with it in a chain: its filter with the bias, its scale and shift, and its place
# in each filter of the next layer.

# %% tags=["deeper"]
chain = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.BatchNorm2d(8), torch.nn.Conv2d(8, 4, 3)).eval()
sets = surgery.find_couplings(surgery.trace(chain, torch.zeros(1, 3, 9, 9)))
small = surgery.remove_channels(chain, sets, {"0": [5]})
before, after = (sum(each.numel() for each in net.parameters()) for net in (chain, small))
assert before - after == (3 * 9 + 1) + 2 + 4 * 9
before - after

# %% [markdown] tags=["deeper"]
# Is it the same network without the channel? In resnet18 we silence channel 5 of the first set in all three batch
# norms, and compare with a copy from which it was taken.

# %% tags=["deeper"]
resnet, images = resnet18(weights=None).eval(), torch.rand(2, 3, 64, 64)
sets = surgery.find_couplings(surgery.trace(resnet, images))
smaller = surgery.remove_channels(resnet, sets, {"conv1": [5]})
with torch.inference_mode():
    for norm in (resnet.bn1, resnet.layer1[0].bn2, resnet.layer1[1].bn2):
        norm.weight[5] = norm.bias[5] = 0
    same = torch.allclose(resnet(images), smaller(images), atol=1e-4)
same

# %% [markdown] tags=["deeper"]
# **What we saw.** In a chain two layers and a norm share a channel. An addition ties all layers whose outputs meet in
# it; a concatenation gives each channel many readers; after flattening, a channel is a block of columns. The shape of
# the network decides what can go, before any score does.
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

# %% [markdown] tags=["deeper"]
# **Exercise 1.8** One filter goes, with everything that knows it. Given is a dict with the names *convolution.weight*,
# *batch_norm.weight*, *batch_norm.bias*, *batch_norm.running_mean*, *batch_norm.running_var* and *linear.weight*. Give
# a dict with the same names, without one filter. A map has `map_size` values; the linear layer reads flattened maps.

# %% tags=["exercise"]
# Exercise 1.8: a filter goes, its batch norm follows
def without_filter(tensors, filter_index, map_size):
    # BEGIN SOLUTION
    smaller = {}
    for name, tensor in tensors.items():
        if name == "linear.weight":
            smaller[name] = without_map(tensor, filter_index, map_size)
        else:
            smaller[name] = torch.cat([tensor[:filter_index], tensor[filter_index + 1 :]])
    return smaller
    # END SOLUTION

# %% tags=["check"]
checks.check("1.8", without_filter)

# %% [markdown] tags=["deeper"] minutes=20
# ## 9 Which score chooses best?
#
# Magnitude looks at a weight alone. LAMP compares it with the larger weights of its layer. Taylor and SNIP ask the
# data: how would the loss change without this weight w, from its gradient g? Three sums over batches go by the name of
# Taylor. Four weights, two batches: which weight goes first?

# %% tags=["deeper"]
w, g = torch.tensor([3.0, -1.0, 0.5, 2.0]), torch.tensor([[0.1, 0.5, 0.4, -0.3], [0.0, 0.5, 0.4, 0.3]])
by_hand = {
    "sum_abs": (w * g).abs().sum(0), "abs_sum": (w * g).sum(0).abs(), "sum_square": (w * g).square().sum(0),
}
line = torch.nn.Linear(4, 1, bias=False)
line.weight.data = w[None]
for variant, values in by_hand.items():
    ours = prune.scores.taylor(line, [(g[:1],), (g[1:],)], variant=variant, loss=torch.sum)["weight"][0]
    assert torch.allclose(ours, values)
{"magnitude": w.abs().argmin().item(), **{name: values.argmin().item() for name, values in by_hand.items()}}

# %% [markdown] tags=["deeper"]
# Filters have scores of their own. FPGM adds up the distances to all other filters: who is near to all can be
# replaced. APoZ counts zeros after ReLU. Four filters, one a row: which goes first by its norm, by FPGM, by APoZ?

# %% tags=["deeper"]
filters = torch.tensor([[0.0, 0.1], [5.0, -4.0], [5.0, 5.0], [6.0, 5.0]])
images = torch.tensor([[1.0, 1.0], [0.2, 1.0]])
norms, distances = filters.abs().sum(1), torch.cdist(filters, filters).sum(1)
active = ((images @ filters.T).relu() > 0).float().mean(0)
chain = torch.nn.Sequential(torch.nn.Linear(2, 4, bias=False), torch.nn.ReLU(), torch.nn.Linear(4, 1))
chain[0].weight.data = filters
by_hand = {"l1": norms, "fpgm": distances, "apoz": active}
for method, values in by_hand.items():
    ours = prune.filter_scores(chain, images, method, batches=[(images,)])["0"]
    assert np.allclose(ours, values)
{method: values.argmin().item() for method, values in by_hand.items()}

# %% [markdown] tags=["deeper"]
# The zoo holds them all, on `lab_cnn`, five networks each. Before you move a control: which score will be best
# without half of the weights? Will it still be best after an epoch of tuning? Does any score of filters beat chance?

# %% tags=["deeper"]
explorers.score_zoo()

# %% [markdown] tags=["deeper"]
# **What we saw.** At once, plain magnitude over all layers is hard to beat; magnitude within each layer is far behind.
# The three Taylor sums are three scores, so a paper must say which one it takes. They, and SNIP, estimate what one
# small change does to the loss. Nine of ten weights are no small change: there only magnitude over all layers and LAMP
# beat chance with every network, even after tuning. SNIP was made for networks before training (section 3).
#
# For filters, networks differ more than scores. Two epochs later all scores end within a point, chance and *the
# largest first* among them. Before you compare two scores, look at the spread over seeds, and tune both.

# %% tags=["deeper"]
claims.summary(1)

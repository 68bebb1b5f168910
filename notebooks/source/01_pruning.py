# %% [markdown] tags=["core"] slideshow={"slide_type": "slide"}
# # 1 Pruning: which weights can go?
#
# A trained network holds many weights. Pruning removes some and tries to keep the accuracy.
#
# **You are here:** chapter 1 of 7. Time: 90 minutes with the exercises. You need chapter 0.
#
# ```mermaid
# flowchart LR
#   accTitle: pruning
#   A[dense network] --> B[identify redundant weights]
#   B --> C[remove weak connections]
#   C --> D[fine-tuned sparse model]
# ```
#
# *Pruning in four steps: train a dense network, find weights it hardly needs, remove them, tune what is left.*

# %% tags=["setup"]
import torch

from labcore import data, metrics, models, plots, prune, search, text, training
from labcore.lesson import checks, claims, progress, quiz
from labcore.widgets import explorers

# %% [markdown] tags=["core"] slideshow={"slide_type": "slide"} minutes=12
# ## 1 Which removal hurts most?
#
# The network is LeNet-300-100: three linear layers, trained on 4,000 digits. We remove weights in three ways and tune
# nothing afterwards. Commit to a range for each.

# %% tags=["core"]
digits = data.load_dataset("mnist5k")
lenet = models.load_model("lenet_300_100")
whole = training.evaluate(lenet, digits.batches())
quiz.ask_prediction("1.order_by_harm")

# %% tags=["core"]
def lost(model, masks, dataset, answers):
    pruned = training.evaluate(prune.apply_masks(model, masks), dataset.batches())
    return answers.accuracy - pruned.accuracy

smallest = prune.magnitude_masks(lenet, sparsity=0.7, scope="global")
chance = [prune.masks_global(prune.scores.random(lenet, seed=seed), 0.3) for seed in range(8)]
largest = prune.masks_global(prune.scores.largest(lenet), 0.01)
at_random = sum(lost(lenet, masks, digits, whole) for masks in chance) / len(chance)
harm = [lost(lenet, smallest, digits, whole), at_random, lost(lenet, largest, digits, whole)]

# %% tags=["reveal"]
quiz.reveal(claims.holds("49a", harm[0]))

# %% tags=["reveal"]
quiz.reveal(claims.does_not_reproduce("49b", harm[1]))

# %% tags=["reveal"]
measured = {"smallest": -harm[0], "random": -harm[1], "largest": -harm[2]}
quiz.reveal(claims.holds("49c", harm[2]), question="1.order_by_harm", measured=measured)

# %% [markdown] tags=["core"]
# **What we saw.** The size of a weight says how much it matters, not how many weights go. The order of harm is the
# reverse of the order of numbers.
#
# **Exercise 1.1** Weights are PyTorch tensors here. Write the mask of a threshold: 1 keeps a weight, 0 removes it. A
# weight is kept when its magnitude is at least the threshold.

# %% tags=["exercise"]
# Exercise 1.1: mask of a threshold
def threshold_mask(weights, threshold):
    # BEGIN SOLUTION
    return (weights.abs() >= threshold).int()
    # END SOLUTION

# %% tags=["check"]
checks.check("1.1", threshold_mask)

# %% [markdown] tags=["core"] slideshow={"slide_type": "slide"} minutes=18
# ## 2 Where does it break?
#
# Move the sparsity. The map shows one layer, the histogram shows the cut, the bars show the bytes of four formats.
# The scenes set all controls at once.

# %% tags=["core"]
explorers.pruning(lenet, digits)

# %% [markdown] tags=["core"]
# **What we saw.** There is a flat part and a cliff. Where the cliff stands depends on the network: a network with
# little fat falls early. Ranking over the whole network spares the small last layer.
#
# **Exercise 1.2** Remove exactly round(sparsity * n) weights, the smallest magnitudes first. Of equal magnitudes the
# lower index goes first.

# %% tags=["exercise"]
# Exercise 1.2: exactly k weights go
def exact_mask(weights, sparsity):
    # BEGIN SOLUTION
    mask = torch.ones(len(weights))
    mask[weights.abs().argsort(stable=True)[: round(sparsity * len(weights))]] = 0
    return mask
    # END SOLUTION

# %% tags=["check"]
checks.check("1.2", exact_mask)

# %% [markdown] tags=["core"] slideshow={"slide_type": "slide"} minutes=15
# ## 3 Can it be repaired?
#
# The whole process, live: train a network, identify the smallest weights, prune 95 %, fine-tune. The
# second fine-tuning forgets the mask. How many zeros will it have at the end? A third one, of `lab_cnn` without half of
# its weights, takes steps that are ten times too large.

# %% tags=["core"]
garments, cnn = data.load_dataset("fashion14"), models.load_model("lab_cnn")
quiz.ask_prediction("1.forgotten_mask")

# %% tags=["core"]
fresh = models.make_model("lenet_300_100", seed=1)
config = training.TrainConfig(epochs=8, learning_rate=1.2e-3)
training.fit(fresh, digits.batches(64, split="train", seed=1), config)
trained = training.evaluate(fresh, digits.batches())
masks = prune.magnitude_masks(fresh, sparsity=0.95, scope="global")
print(f"trained {text.approx(text.percent(trained.accuracy))}, pruned", end=" ")
print(text.approx(text.points(-lost(fresh, masks, digits, trained))))

# %% tags=["core"]
repair = training.TrainConfig(epochs=6, learning_rate=1.2e-3)
tuned, careless = prune.apply_masks(fresh, masks), prune.apply_masks(fresh, masks)
training.fit(tuned, digits.batches(64, split="train", seed=1), repair, after_step=prune.hold(masks))
training.fit(careless, digits.batches(64, split="train", seed=1), repair)
nets = {"held": tuned, "forgotten": careless}
right = {name: training.evaluate(net, digits.batches()).accuracy for name, net in nets.items()}
print("right:", ", ".join(f"mask {name} {text.approx(text.percent(value))}" for name, value in right.items()))

# %% tags=["reveal"]
assert right["forgotten"] > right["held"]
zeros = prune.sparsity_of(careless)
halved = prune.magnitude_masks(cnn, sparsity=0.5, scope="global")
def after_an_epoch(rate):
    config = training.TrainConfig(epochs=1, learning_rate=rate, schedule="constant")
    batches = garments.batches(64, split="train", seed=0)
    return prune.train_masked(cnn, halved, batches, config, evaluation=garments.batches()).round.log.accuracies[-1]
hasty = after_an_epoch(1e-3) - after_an_epoch(1e-2)
verdict = claims.verdict("S13", {"forgotten": zeros / prune.sparsity_of(masks), "hasty": hasty})
quiz.reveal(verdict, question="1.forgotten_mask", measured={"zeros": zeros})

# %% [markdown] tags=["core"]
# **What we saw.** One cut and a little tuning bring most of the accuracy back. Without the mask the accuracy is
# higher still, because the weights have grown back: the network is no longer sparse. A result that is suspiciously
# good needs a second look at the zeros. Steps ten times too large end lower after the same epoch.
#
# **Exercise 1.3** One step of SGD with momentum under a mask: the velocity becomes momentum * velocity + gradient;
# the weight moves against learning rate * velocity. What must be masked?

# %% tags=["exercise"]
# Exercise 1.3: one step under a mask
def masked_step(weights, velocity, gradient, mask, momentum, learning_rate):
    # BEGIN SOLUTION
    velocity = momentum * velocity + gradient
    return (weights - learning_rate * velocity) * mask
    # END SOLUTION

# %% tags=["check"]
checks.check("1.3", masked_step)

# %% [markdown] tags=["core"] slideshow={"slide_type": "slide"} minutes=10
# ## 4 Is the file smaller, is the call faster?
#
# The repaired network has 95 % zeros. Which of its numbers changed?

# %% tags=["core"]
sizes = prune.report_masks(tuned, masks, "fc1.weight").sizes
for name, n_bytes in sizes.items():
    print(f"{name}: {text.size(n_bytes)}")
file_share, mac_share = metrics.cost_ratios(tuned, fresh, digits.test_images[:1])
print(f"file as it is written: {text.percent(file_share)}, MACs: {text.percent(mac_share)}")

# %% tags=["core"]
strip = plots.LatencyStrip(("dense", "95 % zeros"))
dense, masked = metrics.compare_latency(fresh, tuned, digits.test_images[:50])
strip.update((dense, masked))
strip

# %% [markdown] tags=["core"]
# **What we saw.** A mask changes neither the file nor the clock. A packed format makes the file smaller, and pays for
# saying where the kept weights are. The processor still multiplies by every zero.

# %% [markdown] tags=["core"] slideshow={"slide_type": "slide"} minutes=20
# ## 5 What if whole filters go?
#
# A filter that goes takes its output channel with it, the batch norm of that channel, and one input channel of the
# next layer. The tensors really become smaller. Does it matter which filters go?

# %% tags=["core"]
explorers.filters(cnn, garments)

# %% tags=["core"]
means = {point.label: point.mean for point in search.load_sweep("filters")}
at_once, after = ({m: means[f"{m}, 25% of the channels, {when}"] for m in ("gamma", "l1", "random", "largest")}
                  for when in ("at once", "after 2 epochs"))
widths = {int(point.settings["width"]): point.mean for point in search.load_sweep("widths") if "lab_cnn" in point.label}
claims.holds("37a", at_once["gamma"] - at_once["random"])

# %% tags=["reveal"]
claims.does_not_reproduce("37d", at_once["l1"] - at_once["random"])
quiz.reveal(claims.holds("37b", max(after.values()) - min(after.values())))

# %% tags=["reveal"]
quiz.reveal(claims.holds("37c", widths[12] - after["gamma"]))

# %% [markdown] tags=["core"]
# **What we saw.** Before tuning gamma chooses better than chance; the L1 norm does not. After two epochs it hardly
# does, and a network of the small shape trained from scratch is as good. What pruning finds here is a shape, more
# than a set of weights.
#
# **Exercise 1.4** Score each filter (one a row) by its L1 norm.

# %% tags=["exercise"]
# Exercise 1.4: rank filters
def filter_scores(filters):
    # BEGIN SOLUTION
    return filters.abs().sum(dim=1)
    # END SOLUTION

# %% tags=["check"]
checks.check("1.4", filter_scores)

# %% [markdown] tags=["core"] slideshow={"slide_type": "slide"} minutes=15
# ## 6 Which layer can spare most?
#
# Prune one layer at a time and watch the accuracy. Then spend a budget: so many weights may stay. You play against
# the same share everywhere, and against a machine that reads the curves.

# %% tags=["core"]
levels = (0.0, 0.1, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95)
sensitivity = search.measure_sensitivity(cnn, garments.batches(), levels=levels)
explorers.budget(cnn, garments, sensitivity)

# %% [markdown] tags=["core"]
# **My point on the course's chart, and who pays.** The network is `lab_cnn` without a quarter of its filters, tuned
# here for two epochs. Three rankings choose the filters; the point is that of gamma. The line of plainly narrower
# networks is the bar to beat.

# %% tags=["core"]
tune, batches = training.TrainConfig(epochs=2, learning_rate=1e-3), garments.batches(64, split="train", seed=0)
before, smaller, cut, now = training.evaluate(cnn, garments.batches()), {}, {}, {}
for ranking in ("gamma", "l1", "activation"):
    plan = prune.channel_plan(cnn, garments.test_images[:1], pruning_ratio=0.25, method=ranking, batches=batches)
    smaller[ranking] = prune.apply_channel_plan(cnn, plan)
    cut[ranking] = training.evaluate(smaller[ranking], garments.batches())
    training.fit(smaller[ranking], batches, tune)
    now[ranking] = training.evaluate(smaller[ranking], garments.batches())
label = "a quarter of the filters pruned"
mine = search.make_point("mine", label, smaller["gamma"], garments.test_images[:1], now["gamma"])

# %% tags=["core"]
chart = plots.AccuracyAgainstCost(
    search.load_sweep("widths"), floor=progress.floor(), date=search.sweep_date("widths")
)
chart.update(mine)
chart

# %% tags=["core"]
who = plots.WhoPays(garments.class_names, garments.test_images.numpy())
who.update((metrics.measure_changes(before, now["gamma"]), now["gamma"]))
who

# %% [markdown] tags=["core"]
# **What the course text says, and what you measured.**

# %% tags=["core"]
fat_free = prune.magnitude_masks(cnn, sparsity=0.7, scope="global")
claims.verdict("S4", {"large_net": harm[0], "small_net": lost(cnn, fat_free, garments, before)})
claims.verdict("S5", {"threshold": lost(lenet, prune.masks_by_threshold(lenet, 0.04), digits, whole)})
tuned_by = {ranking: before.accuracy - answers.accuracy for ranking, answers in now.items()}
claims.verdict("S6", {"at_once": before.accuracy - cut["gamma"].accuracy, **tuned_by})
claims.verdict("S7", {"masked": masked.p50_ms / dense.p50_ms})
claims.verdict("S9", {"process": trained.accuracy - right["held"]})
cliff = prune.magnitude_masks(lenet, sparsity=0.98, scope="global")
claims.verdict("S12", {"cliff": lost(lenet, cliff, digits, whole)})

# %% tags=["core"]
half = prune.apply_channel_plan(cnn, prune.channel_plan(cnn, garments.test_images[:1], pruning_ratio=0.5))
slow, fast = metrics.compare_latency(cnn, half, garments.test_images[:50])
claims.verdict("S8", {"time": fast.p50_ms / slow.p50_ms})
size = {"size_dense": file_share, "size_packed": sizes["relative"] / sizes["dense"]}
time = {"time_masked": masked.p50_ms / dense.p50_ms, "time_removed": fast.p50_ms / slow.p50_ms}
claims.verdict("S10", {**size, **time})
peaks = [metrics.measure_costs(net, garments.test_images[:1]).peak_activation_bytes for net in (half, cnn)]
claims.verdict("S11", {"memory": peaks[0] / peaks[1]})
claims.summary(1)

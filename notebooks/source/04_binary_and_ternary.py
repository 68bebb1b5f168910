# %% [markdown] tags=["core"] slideshow={"slide_type": "slide"}
# # 4 Binary and ternary networks: what is left with one bit?
#
# A weight in floating point takes 32 bits. Here one bit is left of it, its sign, and one number for many weights:
# W is about alpha · sign(W). If the values that pass between layers become signs too, products become bit operations.
#
# **You are here:** chapter 4 of 7. Time: 90 minutes with the exercises. You need chapter 0.
#
# ```mermaid
# flowchart LR
#   accTitle: binary networks
#   A[real weights] --> B[sign and alpha]
#   D[real activations] --> E[sign]
#   B --> C[XNOR and bit count]
#   E --> C
#   C --> F[sums times alpha]
# ```
#
# *A binary layer: weights become signs with one alpha for each filter, activations become signs, and the products of
# signs are counted with XNOR and bit count.*

# %% tags=["setup"]
import tempfile
from pathlib import Path

import torch
from scipy import stats

from labcore import binarize, data, metrics, models, plots, search, storage, surgery, text, training
from labcore.lesson import checks, claims, progress, quiz
from labcore.widgets import explorers

# %% [markdown] tags=["core"] slideshow={"slide_type": "slide"} minutes=15
# ## 1 What remains of a weight?
#
# Four weights, one bit each, and one number alpha that all four share. The best alpha has a formula:
#
# $$\min_{\alpha, B} \lVert W - \alpha B \rVert^2 \quad\Rightarrow\quad B = \mathrm{sign}(W),\quad \alpha = \tfrac{1}{n}
# \sum_i |W_i|$$

# %% tags=["core"]
weights = torch.tensor([[0.5, -1.5, 0.2, -0.2]])
signs, alpha = torch.where(weights < 0, -1.0, 1.0), weights.abs().mean()
print("signs:", signs.int().tolist()[0], "alpha:", f"{alpha:.2f}")
fitted = binarize.fit_binary(weights)
assert torch.equal(fitted.codes, signs)
assert torch.allclose(fitted.alpha, alpha)

# %% tags=["core"]
garments, cnn = data.load_dataset("fashion14"), models.load_model("lab_cnn")
explorers.signs(cnn)

# %% tags=["reveal"]
noise = torch.randn(1, 100_000, generator=torch.Generator().manual_seed(0))
of_noise = binarize.relative_error(noise, binarize.fit_ternary(noise).values)
quiz.reveal(claims.holds("35a", of_noise))

# %% [markdown] tags=["core"]
# **What we saw.** The sign and one alpha keep more than half of a layer. Most of what is lost are the weights near 0,
# which become as large as all others. A third value takes them: set them to 0, and the error about halves. How many of
# them? Too small a Delta changes nothing, too large a Delta throws weights away that count.
#
# **Exercise 4.1** Each row holds the weights of a filter. Give the alpha of each filter that makes the squared error of
# alpha times the signs smallest: one number a row.

# %% tags=["exercise"]
# Exercise 4.1: alpha of each filter
def alphas(weights):
    # BEGIN SOLUTION
    return weights.abs().mean(dim=1)
    # END SOLUTION

# %% tags=["check"]
checks.check("4.1", alphas)

# %% [markdown] tags=["core"] slideshow={"slide_type": "slide"} minutes=15
# ## 2 What can learn if a sign has no slope?
#
# The sign is flat: its derivative is 0 wherever it exists. So training keeps the real weights underneath, called
# *latent* weights. Each pass uses their signs; the gradient at the signs moves the latent weights. Some slope must
# stand in for the missing one: this is the *straight-through estimator*.
#
# **Exercise 4.2, spot the bug** In the place of the derivative the XNOR-Net paper prints
#
# $$\frac{\partial\,\mathrm{sign}(r)}{\partial r} = r\,\mathbf{1}_{|r| \le 1}$$
#
# Put -0.2 into it. Which way does the weight go when the loss wants it larger? Give the slope without the bug.

# %% tags=["exercise"]
# Exercise 4.2: the slope that stands in for the derivative of the sign
def slope(r):
    # BEGIN SOLUTION
    return (r.abs() <= 1).float()
    # END SOLUTION

# %% tags=["check"]
checks.check("4.2", slope)

# %% [markdown] tags=["core"]
# The gradient passes as it is, but only within a window, |r| at most 1.
#
# **Train it, live.** The two convolutions in the middle get binary weights; the first and the last layer stay real. We
# remember the signs of the start and count how many differ.

# %% tags=["core"]
net = binarize.apply_binary(models.make_blocks(seed=0), binarize.BinaryConfig())
first, clip, flips = net.conv3.layer.weight.detach() < 0, binarize.LatentWeights(net), []

def after_step(model, step):
    clip(model, step)
    flips.append(((model.conv3.layer.weight < 0) != first).float().mean().item())

batches, config = garments.batches(64, split="train", seed=0), training.TrainConfig(epochs=8, learning_rate=4e-3)
training.fit(net, batches, config, after_step=after_step, label="binary weights")
mine = training.evaluate(net, garments.batches())
for what, share in (("right", mine.accuracy), ("new signs, one step", flips[0]), ("all steps", flips[-1])):
    print(f"{what}: {text.approx(text.percent(share))}")

# %% [markdown] tags=["core"]
# **What we saw.** A step moves a latent weight a little; its sign changes only when many steps add up. Evaluation
# uses the signs alone. Once trained, the latent weights are thrown away.

# %% [markdown] tags=["core"] slideshow={"slide_type": "slide"} minutes=15
# ## 3 What is alpha worth?
#
# Alpha keeps the magnitude. We leave it out, so that weights are -1 and 1, and train again: a network of three linear
# layers, once with batch norm between them and once without.

# %% tags=["core"]
quiz.ask_prediction("4.no_alpha")

# %% tags=["reveal"]
def without_alpha(name, label):
    found = {curve.family: curve.values[:, 0] for curve in search.load_curves(name) if curve.label == label}
    pair = found["binary weights, alpha 1"], found["binary weights"]
    return metrics.measure_seed_gain(f"alpha 1, {label}", *pair)

plain, norm = (without_alpha("binary_flat", label) for label in ("without batch norm", "with batch norm"))
view = plots.SeedGains(search.sweep_date("binary_flat"))
view.update((plain, norm, without_alpha("binary_ways", "ten garments")))
claims.holds("7", -plain.interval.value)
measured = {"with_batch_norm": norm.interval.value, "without_batch_norm": plain.interval.value}
quiz.reveal(view, question="4.no_alpha", measured=measured)

# %% [markdown] tags=["core"]
# **What we saw.** Without batch norm, sums of ones and minus ones grow with the number of inputs, and nothing takes
# them back: alpha saves the network. Batch norm divides each channel by its spread, and with it by any number that
# the channel was multiplied with. There alpha is worth little: a point in one network, nothing in the other. The
# paper's two networks differ in more than alpha.

# %% [markdown] tags=["core"] slideshow={"slide_type": "slide"} minutes=15
# ## 4 What if activations are signs too?
#
# Then a product is +1 where two signs agree and -1 where they differ. With a bit for each sign (1 means -1), the bits
# that differ are those of `a ^ b`; p of them differ. The product of n signs is n - 2 p. A processor handles 64 or more
# at once.

# %% tags=["core"]
explorers.bit_by_bit()

# %% [markdown] tags=["core"]
# **Exercise 4.3** `a` and `b` are whole numbers. Each holds `n` signs in a word of `word` bits: bit 1 means -1, bit 0
# means +1, and the unused bits in front are 0. `+-++-` is `0b01001`. Give the dot product of the signs. In Python `^`
# is XOR, and `int.bit_count` counts the ones of a whole number.

# %% tags=["exercise"]
# Exercise 4.3: a dot product from XOR and popcount
def popcount_dot(a, b, n, word):
    # BEGIN SOLUTION
    differences = (a ^ b).bit_count()
    return n - 2 * differences
    # END SOLUTION

# %% tags=["check"]
checks.check("4.3", popcount_dot)

# %% [markdown] tags=["core"]
# **The order of the blocks.** Between two convolutions stand a pooling, a batch norm (B) and the sign, the activation
# (A). Usual networks pool (P) what the activation gives: C-B-A-P. Here the pooling comes right after the convolution
# (C): B-A-C-P.

# %% tags=["reveal"]
ways = {curve.family: curve.mean[0] for curve in search.load_curves("binary_ways")}
claims.holds("4a", ways["float"] - ways["binary weights"])
claims.holds("4b", ways["binary weights"] - ways["all binary"])
quiz.reveal(claims.holds("5", ways["all binary"] - ways["all binary, pooled signs"]))

# %% [markdown] tags=["core"]
# **What we saw.** Bits give exactly the sums of floats. One +1 among four signs makes the pooled sign +1, so pooled
# signs say less. Batch norm before the sign puts the border where values are in balance.
# Activations of one bit cost more accuracy than weights of one bit.

# %% [markdown] tags=["core"] slideshow={"slide_type": "slide"} minutes=15
# ## 5 On which task does one bit hurt?
#
# Five tasks from the same two data sets, and the same network for each: real, with binary weights, all binary (in the
# middle). Then the hardest task: which layers may be binary? Tick them. The accuracies were measured for all sixteen
# choices.

# %% tags=["core"]
quiz.ask_prediction("4.task_ladder")

# %% tags=["core"]
explorers.task_ladder()

# %% tags=["reveal"]
real, weights_only, all_binary = search.load_curves("binary_ladder")
gaps = real.mean - all_binary.mean
measured = {"easiest": -gaps[0], "hardest": -gaps[-1]}
correlation = stats.spearmanr(real.x, gaps).statistic
quiz.reveal(claims.holds("56", correlation), question="4.task_ladder", measured=measured)

# %% tags=["core"]
explorers.partial_binary()

# %% tags=["reveal"]
grid = {curve.family: curve.mean[0] for curve in search.load_curves("partial_binary")}
lost = {name: grid["none"] - accuracy for name, accuracy in grid.items()}
whole = lost["conv1 + conv2 + conv3 + fc"]
quiz.reveal(claims.holds("57", 1 - lost["conv2 + conv3"] / whole))

# %% [markdown] tags=["core"]
# **What we saw.** An easy task leaves room to spare, a hard one uses all that a network has. The layers at both ends
# are few and dear: the first reads real pixels, the last gives the answer. Left real, they win back most of the loss,
# and the layers in the middle hold most of the work.

# %% [markdown] tags=["core"] slideshow={"slide_type": "slide"} minutes=15
# ## 6 Smaller and faster than what?
#
# Papers promise 32 times less memory and 58 times more speed. First the file: bits for the middle layers, one alpha for
# each filter, all else as it was.

# %% tags=["core"]
quiz.ask_prediction("4.file_and_clock")

# %% tags=["core"]
signed = binarize.apply_binary(models.make_blocks(), binarize.BinaryConfig(activations="binary"))
other = binarize.fix_binary(signed)
fixed = binarize.fix_binary(models.load_blocks_(signed, "all"))
path = Path(tempfile.mkdtemp()) / "network"
binarize.save_binary(path, fixed)
storage.load_model_(other, path)
packed, images = binarize.pack_network(other, garments.test_images[:1]), garments.test_images
same = (packed(images).argmax(1) == fixed(images).argmax(1)).sum().item()
print(f"{text.count(path.stat().st_size)} bytes; {same} of {len(images)} predictions are those of the simulation")

# %% tags=["core"]
explorers.speed_bars()

# %% tags=["reveal"]
real_bytes, layers = metrics.measure_sizes(models.make_blocks()).file_bytes, binarize.binary_layers(fixed).values()
of_layers = sum(4 * each.codes.numel() for each in layers) / sum(map(binarize.layer_bytes, layers))
of_file = real_bytes / path.stat().st_size
speed = binarize.compare_convolutions(256)
measured = {"file": of_file, "clock": speed.against_library}
quiz.reveal(claims.holds("1a", speed.formula), question="4.file_and_clock", measured=measured)

# %% [markdown] tags=["core"]
# **What we saw.** The binary layers shrink almost as promised; batch norm, alphas and the two real layers do not. The
# formula counts operations and lets each word of bits count as one. The clock depends on what stands beside it: a plain
# loop is easily beaten, a tuned library computes many floats at once too. The larger the layer, the more bits gain; try
# 64 channels.
#
# **My point on the course's chart, and who pays.** The network that you trained in part 2 stands beside plainly
# narrower ones, weighed with one bit for each binary weight. Below, it is compared with the same network in real
# numbers. Last comes what the course text says, and what you measured.

# %% tags=["core"]
widths = [point for point in search.load_sweep("widths") if "lab_mobile" not in point.family]
chart = plots.AccuracyAgainstCost(
    widths, cost="file_bytes", floor=progress.floor(), date=search.sweep_date("widths")
)
file_bytes = binarize.measure_file_bytes(binarize.fix_binary(net))
chart.update(search.make_point("mine", "binary weights", net, images[:1], mine, file_bytes=file_bytes))
chart

# %% tags=["core"]
before = training.evaluate(models.load_blocks_(models.make_blocks(), "float"), garments.batches())
who = plots.WhoPays(garments.class_names, images.numpy())
who.update((metrics.measure_changes(before, mine), mine))
who

# %% tags=["core"]
with surgery.tap(packed, ["conv3"]) as taps:
    packed(images[:100])
three = binarize.report_signs(cnn.conv3.weight, "conv3", factor=0.7)
codes, read = binarize.binary_layers(fixed)["conv3"].codes, binarize.binary_sign(taps["conv3"].inputs[0])
values = {"binary": codes.unique(), "ternary": set(three.codes.flat), "activations": read.unique()}
claims.verdict("S32", {name: len(each) for name, each in values.items()})
near = {"weights": real.mean[0] - weights_only.mean[0], "all": gaps[0], "hard": gaps[-1]}
claims.verdict("S33", near)

# %% tags=["core"]
sums = binarize.packed_conv2d(read.numpy(), binarize.pack_filters(codes.numpy()), padding=1)
wrong = (torch.from_numpy(sums) != torch.conv2d(read, codes.float(), padding=1)).sum().item()
claims.verdict("S34", {"exact": wrong, "end_to_end": len(images) - same})
alpha_1 = binarize.relative_error(cnn.conv3.weight, binarize.binary_sign(cnn.conv3.weight.detach()))
gains = {"plain": -plain.interval.value, "norm": -norm.interval.value}
claims.verdict("S35", {"error": three.binary_error / alpha_1} | gains)
claims.verdict("S36", {"layers": of_layers, "file": of_file})

# %% tags=["core"]
against = {"naive": speed.against_naive, "library": speed.against_library, "paper": speed.against_library}
claims.verdict("S37", against)
claims.verdict("S38", {"easiest": gaps[0], "hardest": gaps[-1]})
ends, last = (1 - lost[names] / whole for names in ("conv2 + conv3", "conv1 + conv2 + conv3"))
claims.verdict("S39", {"ends": ends, "last": last})
claims.summary(4)

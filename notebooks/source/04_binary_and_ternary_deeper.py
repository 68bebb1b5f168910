# %% [markdown] tags=["deeper"]
# # 4 Binary and ternary networks, deeper
#
# Sections that stand alone. Run the set-up cell, then any section. The accuracies were measured beforehand, with five
# seeds each; `make shipped` measures them again.
#
# | section | minutes | you need |
# |---|---|---|
# | 1 Must one know how large the inputs were? K | 15 | binary activations |
# | 2 Which slope should stand in for the sign's? | 20 | the straight-through estimator |
# | 3 Is chance a good teacher? Stochastic BinaryConnect | 15 | latent weights |
# | 4 Is a third value worth a second bit? | 15 | ternary weights |
# | 5 What may stay real at little cost? Bi-Real and ReActNet | 15 | binary activations |
# | 6 What is inside the packed kernel? | 20 | XNOR and bit count |
# | 7 Where did the batch norm go? | 10 | binary activations |
# | 8 Three exercises at home | 20 | signs, latent weights, ternary weights |

# %% tags=["setup"]
import numpy as np
import torch

from labcore import binarize, data, deploy, metrics, models, plots, search, text, training
from labcore.lesson import checks, claims, quiz
from labcore.widgets import explorers

ways = {curve.family: curve.values[:, 0] for curve in search.load_curves("binary_ways")}
garments = data.load_dataset("fashion14")
signed = binarize.apply_binary(models.make_blocks(), binarize.BinaryConfig(activations="binary"))
models.load_blocks_(signed, "all")

# %% [markdown] tags=["deeper"] minutes=15
# ## 1 Must one know how large the inputs were?
#
# A sign forgets how large a number was. XNOR-Net gives part of it back: $A$ is the mean magnitude over the channels of
# what a layer reads, and $K = A * k$ with $k_{ij} = 1/(wh)$ is its mean over each position of the filter. The outputs
# are multiplied with it:
#
# $$I * W \approx \big(\mathrm{sign}(I) * \mathrm{sign}(W)\big) \odot K \alpha$$

# %% tags=["deeper"]
explorers.k_maps(signed, garments)

# %% tags=["reveal"]
quiz.reveal(claims.holds("6", (ways["all binary, K"] - ways["all binary"]).mean()))

# %% [markdown] tags=["deeper"]
# **What we saw.** K knows where inputs are large. As it stands it makes most sums too small here. Once each channel has
# its best factor, which a batch norm can bring, K takes the sums of conv2 a little nearer to the real ones, and those
# of conv3 farther off. A network that is trained with K is not better. K also costs real products for each position,
# so later networks leave it out.

# %% [markdown] tags=["deeper"] minutes=20
# ## 2 Which slope should stand in for the sign's?
#
# The sign has no slope, so each of these stands in for it. Three are in use. The fourth was printed in a paper, whose
# own program uses the first. Which of them trains best?

# %% tags=["deeper"]
r = torch.tensor([-1.5, -0.6, -0.2, 0.2, 0.6, 1.5])
for name in ("window", "identity", "polynomial", "printed"):
    print(f"{name:>10}:", [f"{slope:+.1f}" for slope in binarize.surrogate_slope(r, name).tolist()])

# %% tags=["reveal"]
slopes, window = ("gradient 1", "gradient polynomial", "gradient as printed"), ways["all binary"]
view = plots.SeedGains(search.sweep_date("binary_ways"))
view.update([metrics.measure_seed_gain(name, ways[f"all binary, {name}"], window) for name in slopes])
quiz.reveal(view)

# %% [markdown] tags=["deeper"]
# **The gradient of the scaled weight.** With $\tilde W = \alpha\,\mathrm{sign}(W)$ the paper gives
# $\frac{\partial C}{\partial W_i} = \frac{\partial C}{\partial \tilde W_i}\big(\frac1n +
# \frac{\partial\,\mathrm{sign}}{\partial W_i}\alpha\big)$. But alpha depends on all weights of the filter, so moving
# one of them changes all $\tilde W_j$. The chain rule gives
#
# $$\frac{\partial C}{\partial W_i} = \frac{\mathrm{sign}(W_i)}{n} \sum_j \frac{\partial C}{\partial \tilde W_j}
# \mathrm{sign}(W_j) + \alpha\,\frac{\partial C}{\partial \tilde W_i}\,\mathbf{1}_{|W_i| \le 1}$$

# %% tags=["deeper"]
w = torch.tensor([[0.5, -0.8, 0.2, -0.2]], requires_grad=True)
g = torch.tensor([[1.0, 2.0, -1.0, 0.5]])
codes, alpha, n = binarize.binary_sign(w.detach()), w.detach().abs().mean(), w.numel()
printed = g * (1 / n + alpha * (w.detach().abs() <= 1))
exact = codes / n * (g * codes).sum() + alpha * g * (w.detach().abs() <= 1)
(w.abs().mean() * binarize.sign_through(w) * g).sum().backward()
assert torch.allclose(w.grad, exact)
print("printed:", [f"{v:+.3f}" for v in printed[0].tolist()], "exact:", [f"{v:+.3f}" for v in exact[0].tolist()])

# %% [markdown] tags=["deeper"]
# **What we saw.** The printed slope turns the direction around for negative numbers, and such a network pays dearly.
# The others are nearer to each other. In the gradient of the weight, the printed 1/n leaves out what alpha does to
# the other weights: with four weights even a direction comes out wrong. In a real filter n is in the hundreds.

# %% [markdown] tags=["deeper"] minutes=15
# ## 3 Is chance a good teacher?
#
# BinaryConnect can also draw each weight: +1 with the probability $\mathrm{clip}((w+1)/2, 0, 1)$, anew at each step.
# In evaluation it uses the real weights. The noise should work like dropout: less memory of the training images, better
# answers on new ones.

# %% tags=["reveal"]
connect = {(curve.family, curve.label): curve.values[:, 0] for curve in search.load_curves("binary_connect")}
pairs = [(way, images) for images in ("training images", "test images") for way in ("deterministic", "stochastic")]
view = plots.SeedGains(search.sweep_date("binary_connect"))
view.update([metrics.measure_seed_gain(", ".join(each), connect[each], connect["float", each[1]]) for each in pairs])
quiz.reveal(view)

# %% tags=["reveal"]
real, det, stoch = (connect[way, "training images"].mean() for way in ("float", "deterministic", "stochastic"))
assert real >= det >= stoch
claims.holds("10", real - stoch)
real, det, stoch = (connect[way, "test images"].mean() for way in ("float", "deterministic", "stochastic"))
claims.holds("9", real - det)
quiz.reveal(claims.does_not_reproduce("11", stoch - det))

# %% [markdown] tags=["deeper"]
# **What we saw.** The mark of a regularizer is there: with noise, less is learned by heart. But within the epochs of
# this course, noise mostly slows training down. The paper trains up to forty times longer.

# %% [markdown] tags=["deeper"] minutes=15
# ## 4 Is a third value worth a second bit?
#
# The best alpha leaves a known share of normal weights. What does an alpha that is 10 % off leave? Then, without any
# training: put two or three values on the middle layers of a trained network, and look.

# %% tags=["deeper"]
noise = torch.randn(1, 100_000, generator=torch.Generator().manual_seed(0))
best = binarize.fit_binary(noise)
errors = [binarize.relative_error(noise, share * best.values) for share in (0.9, 1, 1.1)]
claims.holds("2b", min(errors[0], errors[2]) / errors[1])
claims.holds("2a", errors[1])

# %% tags=["deeper"]
cnn, after = models.load_model("lab_cnn"), {}
for weights in ("binary", "ternary"):
    replaced = binarize.apply_binary(cnn, binarize.BinaryConfig(weights=weights))
    after[weights] = training.evaluate(replaced, garments.batches()).accuracy
    print(f"{weights}: {text.approx(text.percent(after[weights]))}")

# %% tags=["reveal"]
flat = {(curve.family, curve.label): curve.mean[0] for curve in search.load_curves("binary_flat")}
ahead = flat["ternary weights", "without batch norm"] - flat["binary weights", "without batch norm"]
claims.holds("35c", ahead)
quiz.reveal(claims.holds("35b", after["ternary"] - after["binary"]))

# %% tags=["deeper"]
names = "ternary weights", "trained ternary", "binary weights, alpha learned", "binary weights, alpha 1"
view = plots.SeedGains(search.sweep_date("binary_ways"))
view.update([metrics.measure_seed_gain(name, ways[name], ways["binary weights"]) for name in names])
view

# %% tags=["reveal"]
claims.does_not_reproduce("8a", (ways["binary weights"] - ways["binary weights, alpha 1"]).mean())
quiz.reveal(claims.does_not_reproduce("8b", (ways["binary weights"] - ways["binary weights, alpha learned"]).mean()))

# %% [markdown] tags=["deeper"]
# **What we saw.** Without training, the nearer approximation is far better. Training makes up for most of the
# difference. Trained ternary networks (TTQ) learn two sizes, one for each sign. From random weights and in few epochs
# they stay behind here; the paper starts from a trained network. Two bits for each weight is the price on disk, unless
# the zeros are coded shorter.

# %% [markdown] tags=["deeper"] minutes=15
# ## 5 What may stay real at little cost?
#
# Two papers add real numbers where they cost few operations. Bi-Real lets the real values pass *around* each binary
# layer and gives the sign a slope that is a polynomial. ReActNet keeps these shortcuts. Training moves the border of
# each sign, for each channel, to sign(x - a), and a PReLU between two shifts follows each shortcut.
#
# Which of these gains most over the network that is all binary in the middle?

# %% tags=["reveal"]
around = {curve.family: curve.values[:, 0] for curve in search.load_curves("binary_shortcuts")}
compared = {"slope: polynomial": "all binary, gradient polynomial", "border: learned": "all binary, shifted signs"}
pairs = {name: (ways[way], ways["all binary"]) for name, way in compared.items()}
pairs |= {f"shortcuts: {name}": (around[name], ways["all binary"]) for name in ("all binary", "Bi-Real", "ReActNet")}
pairs["shortcuts, all in float"] = around["float"], ways["float"]
gains = [metrics.measure_seed_gain(name, *pair) for name, pair in pairs.items()]
assert all(gain.interval.low > 0 for gain in gains if gain.name.startswith("shortcuts:"))

# %% tags=["reveal"]
view = plots.SeedGains(search.sweep_date("binary_shortcuts"))
view.update(gains)
quiz.reveal(view)

# %% [markdown] tags=["deeper"]
# **What we saw.** A learned border right after a batch norm adds nothing that the batch norm could not do. Shortcuts
# gain, and cost additions only: real values reach the end beside the signs. The network in float gains nothing from
# them. On top of the shortcuts, neither the polynomial nor learned borders and PReLUs gain more here.

# %% [markdown] tags=["deeper"] minutes=20
# ## 6 What is inside the packed kernel?
#
# Three ideas, one above the other. Pack 64 signs into a word: one XOR, one bit count, one addition for 64 products.
# Take eight words at once, where the processor has such vectors. Keep a small block of the result in registers, eight
# rows by two vectors, so that each word that was read is used several times.

# %% tags=["deeper"]
rng = np.random.default_rng(0)
a, b = (rng.standard_normal((rows, 2304)).astype(np.float32) for rows in (512, 256))
packed_a, packed_b = binarize.pack_signs(a), binarize.pack_signs(b)
signs_a, signs_b = (torch.from_numpy(np.where(x < 0, -1, 1).astype(np.float32)) for x in (a, b))
routines = {
    "floats, BLAS": lambda _: signs_a @ signs_b.T,
    "bits, a word at a time": lambda _: binarize.packed_matmul(packed_a, packed_b, way="plain"),
    "bits, eight words at a time": lambda _: binarize.packed_matmul(packed_a, packed_b),
}

# %% tags=["deeper"]
times = metrics.measure_in_turn(tuple(routines.values()), signs_a, runs=9, warmup=2)
claims.holds("3", (routines["floats, BLAS"](None).numpy() != routines["bits, eight words at a time"](None)).sum())
for name, each in zip(routines, times, strict=True):
    print(f"{name}: {text.approx(text.times(times[0].min_ms / each.min_ms))} as fast as BLAS")
print(f"≈ this processor counts bits with {deploy.popcount_instructions()}")

# %% tags=["reveal"]
quiz.reveal(claims.holds("1b", binarize.theory_speedup(3, 1)))

# %% [markdown] tags=["deeper"]
# **What we saw.** The count of operations is not the clock. A processor with wide vectors also multiplies many floats
# at once, up to 32 in a cycle. Where XOR, count and addition share two vector units, 512 products of signs take one and
# a half cycles, about eleven times as many as floats at their best. Processors with more such units leave more to win,
# and so do libraries that do not reach the best. And a first layer of few channels has nothing to pack.

# %% [markdown] tags=["deeper"] minutes=10
# ## 7 Where did the batch norm go?
#
# Batch norm is a line for each channel, and the sign only asks on which side of 0 it ends. So both together are one
# comparison of a whole number with a border. No float is left between two binary layers.

# %% tags=["deeper"]
fixed = binarize.fix_binary(signed)
packed = binarize.pack_network(fixed, garments.test_images[:1])
borders = packed.bn2.thresholds
print("first borders of bn2:", borders.limit[:8].tolist(), "larger sums give -1:", borders.flipped[:8].tolist())
images = garments.test_images[:500]
assert torch.equal(packed(images).argmax(1), fixed(images).argmax(1))

# %% [markdown] tags=["deeper"]
# **What we saw.** Alpha vanishes too: it is positive, so it only moves the border. What remains of training between two
# binary layers is one bit for each weight, and for each channel a whole number and a direction.

# %% [markdown] tags=["deeper"] minutes=20
# ## 8 Three exercises at home
#
# **Exercise 4.4** Give the sign of each value: -1 or +1, and nothing else. In this course 0 has the sign +1.

# %% tags=["exercise"]
# Exercise 4.4: the sign
def sign(values):
    # BEGIN SOLUTION
    return torch.where(values < 0, -1, 1)
    # END SOLUTION

# %% tags=["check"]
checks.check("4.4", sign)

# %% [markdown] tags=["deeper"]
# **Exercise 4.5** Each row of `gradients` is one step of training; it was taken at the signs. Give the latent weights
# after all steps. They start as `weights`, and every step ends inside the range from -1 to 1.

# %% tags=["exercise"]
# Exercise 4.5: latent weights
def train_latent(weights, gradients, learning_rate):
    # BEGIN SOLUTION
    for gradient in gradients:
        weights = (weights - learning_rate * gradient).clamp(-1, 1)
    return weights
    # END SOLUTION

# %% tags=["check"]
checks.check("4.5", train_latent)

# %% [markdown] tags=["deeper"]
# **Exercise 4.6** Give the weights as -alpha, 0 and alpha. A weight becomes 0 if its magnitude is at most 0.7 times the
# mean magnitude. Alpha is the mean magnitude of the others. A layer of zeros stays as it is.

# %% tags=["exercise"]
# Exercise 4.6: three values
def ternary(weights):
    # BEGIN SOLUTION
    magnitudes = weights.abs()
    kept = magnitudes > 0.7 * magnitudes.mean()
    alpha = magnitudes[kept].mean() if kept.any() else 0
    return alpha * weights.sign() * kept
    # END SOLUTION

# %% tags=["check"]
checks.check("4.6", ternary)

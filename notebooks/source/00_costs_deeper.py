# %% [markdown] tags=["deeper"]
# # 0 What does a network cost? Deeper
#
# Four sections that stand alone. Run the set-up cell, then any section.
#
# | section | minutes | you need |
# |---|---|---|
# | 1 What does energy go into? | 12 | the four currencies |
# | 2 How do bits enter the count of operations? | 8 | MACs |
# | 3 How sure is an accuracy? | 15 | the interval |
# | 4 What limits the clock? | 12 | latency |

# %% tags=["setup"]
import numpy as np
from torch import nn, rand

from labcore import data, metrics, models, plots, text, training
from labcore.lesson import checks

garments = data.load_dataset("fashion14")
model = models.load_model("lab_cnn")
costs = metrics.measure_costs(model, garments.test_images[:1])

# %% [markdown] tags=["deeper"] minutes=12
# ## 1 What does energy go into?
#
# A laptop cannot measure the energy of one image. A published table can estimate it: the energy of single operations
# on a 45 nm chip (Horowitz 2014), and of 32 bits from main memory (Han et al. 2016). The estimate reads every weight
# once an image. Which part is larger, arithmetic or memory?

# %% tags=["deeper"]
for name, (multiply, add) in metrics.OPERATION_PJ.items():
    print(f"{name}: one MAC {multiply + add:.1f} pJ")
print(f"32 bits from main memory: {metrics.DRAM_PJ_PER_32_BITS:.0f} pJ")

# %% tags=["deeper"]
for bits in (32, 16, 8):
    energy = metrics.estimate_energy(costs, weight_bits=bits, activation_bits=bits)
    compute, memory = energy.compute_pj / 1e6, energy.memory_pj / 1e6
    print(f"{bits} bits: arithmetic {compute:.2f} µJ, memory {memory:.2f} µJ an image ({energy.label})")

# %% [markdown] tags=["deeper"]
# **What we saw.** In this estimate most energy goes into moving weights, not into multiplying them. Fewer bits save
# on both sides, but not by the same factor. The estimate breaks when weights stay in a small memory on the chip: then
# reading them costs a hundredth.

# %% [markdown] tags=["deeper"] minutes=8
# ## 2 How do bits enter the count of operations?
#
# A bit operation (BOP) count weighs each MAC with the bits of both factors: $\text{BOPs} = \text{MACs} \cdot b_w
# \cdot b_a$. First on four MACs, then on the network.

# %% tags=["deeper"]
by_hand = 4 * 8 * 8
tiny = metrics.measure_costs(nn.Linear(4, 1, bias=False), rand(1, 4))
assert metrics.count_bops(tiny, weight_bits=8, activation_bits=8) == by_hand

# %% tags=["deeper"]
for weight_bits, activation_bits in ((32, 32), (8, 8), (4, 8), (1, 1)):
    bops = metrics.count_bops(costs, weight_bits=weight_bits, activation_bits=activation_bits)
    print(f"weights {weight_bits} bits, activations {activation_bits} bits: {text.count(bops)} BOPs")

# %% [markdown] tags=["deeper"]
# **What we saw.** BOPs fall with the product of both widths. They are a count, not a time. A processor without an
# instruction for 4-bit numbers computes 4-bit numbers no faster than 8-bit ones.

# %% [markdown] tags=["deeper"] minutes=15
# ## 3 How sure is an accuracy?
#
# Fifty test images, all answered right. Is the accuracy 100 %? The usual formula $p \pm 1.96\sqrt{p(1-p)/n}$ says:
# yes, with certainty. The Wilson interval solves for the accuracies that would make the result plausible:
#
# $$\frac{p + \frac{z^2}{2n} \pm z\sqrt{\frac{p(1-p)}{n} + \frac{z^2}{4n^2}}}{1 + \frac{z^2}{n}}$$

# %% tags=["deeper"]
interval = metrics.wilson_interval(50, 50)
print(f"50 of 50 right: {text.percent(interval.low)} to {text.percent(interval.high)}")

# %% [markdown] tags=["exercise"]
# **Exercise 0.4** Write the Wilson interval. Use $z = 1.96$ and return the low and the high end.

# %% tags=["exercise"]
# Exercise 0.4: the Wilson interval
def interval_95(n_correct, n_images):
    # BEGIN SOLUTION
    p, n, z = n_correct / n_images, n_images, 1.96
    middle, half = p + z**2 / (2 * n), z * (p * (1 - p) / n + z**2 / (4 * n**2)) ** 0.5
    return (middle - half) / (1 + z**2 / n), (middle + half) / (1 + z**2 / n)
    # END SOLUTION

# %% tags=["check"]
checks.check("0.4", interval_95)

# %% [markdown] tags=["deeper"]
# An interval keeps its promise if 95 of 100 such intervals hold the true accuracy. We know the truth when we make the
# data ourselves: a network that is right with probability 0.97, tested on 100 images, 2,000 times.

# %% tags=["deeper"]
truth, n = 0.97, 100
right = np.random.default_rng(0).binomial(n, truth, size=2000)
wilson = [metrics.wilson_interval(int(k), n) for k in right]
usual = [1.96 * np.sqrt(k / n * (1 - k / n) / n) for k in right]
kept_wilson = np.mean([i.low <= truth <= i.high for i in wilson])
kept_usual = np.mean([abs(k / n - truth) <= half for k, half in zip(right, usual, strict=True)])
print(f"Wilson keeps its promise {text.percent(kept_wilson)}, the usual formula {text.percent(kept_usual)} of the time")

# %% [markdown] tags=["deeper"]
# **Two networks on the same images.** Comparing two separate intervals wastes what we know: both saw the same images.
# Only images on which one is right and the other wrong count.

# %% tags=["deeper"]
answers = training.evaluate(model, garments.batches())
narrow = training.evaluate(models.load_model("lab_cnn", width=8), garments.batches())
pair = metrics.compare_paired(answers, narrow)
low, value, high = (text.points(x) for x in (pair.difference.low, pair.difference.value, pair.difference.high))
print(f"only width 16 right: {text.approx(pair.only_first)}, only width 8 right: {text.approx(pair.only_second)}")
print(f"difference {text.approx(value)} (95 % interval {text.approx(low)} to {text.approx(high)})")

# %% [markdown] tags=["deeper"]
# **What we saw.** Near 100 % the usual formula promises too much. Paired comparison gives a narrower interval than
# two separate ones. Neither knows about seeds: another training run moves both networks.

# %% [markdown] tags=["deeper"] minutes=12
# ## 4 What limits the clock?
#
# A linear layer reads each weight once a call, for one image or for many. So the work for one weight grows with the
# batch. How long does one image take when it comes alone, and when it comes with 63 others?

# %% tags=["deeper"]
layer = nn.Linear(2048, 2048)
times = {batch: metrics.measure_latency(layer, rand(batch, 2048)) for batch in (1, 8, 64)}
strip = plots.LatencyStrip(tuple(f"batch of {batch}" for batch in times))
strip.update(tuple(times.values()))
strip

# %% tags=["deeper"]
for batch, latency in times.items():
    an_image = latency.p50_ms / batch
    rate = metrics.count_macs(layer, rand(1, 2048)) / an_image / 1e6
    print(f"{batch} images a call: {text.approx(text.ms(an_image))} an image,", end=" ")
    print(f"{text.approx(f'{rate:.1f}')} billion MACs a second")

# %% tags=["deeper"]
assert times[64].p50_ms / 64 < times[1].p50_ms

# %% [markdown] tags=["deeper"]
# **What we saw.** The same layer does many more MACs a second when images come together. Alone, it waits for weights
# from memory: fewer bytes help, fewer MACs hardly. Together, it waits for arithmetic. *Memory bound* and *compute
# bound* name these two states, and a technique that helps in one may do nothing in the other.

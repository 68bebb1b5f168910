# %% [markdown] tags=["deeper"]
# # 2 Quantization, deeper
#
# Sections that stand alone. Run the set-up cell, then any section. Where several networks are compared, they were
# trained beforehand; `make shipped` measures them again.
#
# | section | minutes | you need |
# |---|---|---|
# | 1 Which calibration wins? And when entropy fails | 25 | clip or round |
# | 2 Which layers stay in floating point? Mixed precision | 20 | the whole network |
# | 3 Can rounding be repaired without training? | 25 | one ruler a channel |
# | 4 Can the range be trained? LSQ, PACT, DoReFa | 25 | straight-through gradient |
# | 5 What does the clock say? Vanhoucke's ladder | 25 | whole numbers |
# | 6 What does a runtime do with it? In production | 10 | whole numbers |

# %% tags=["setup"]
import numpy as np
import torch
from torchvision.models import resnet18

from labcore import data, deploy, metrics, models, plots, quantize, search, surgery, text, training
from labcore.lesson import checks, claims, quiz
from labcore.widgets import explorers

garments = data.load_dataset("fashion14")
mobile = surgery.fold_batch_norm(models.load_model("lab_mobile"), garments.test_images[:1])
shown = [garments.train_images[:500]]

# %% [markdown] tags=["deeper"] minutes=25
# ## 1 Which calibration wins?
#
# Six ways to choose the range of the activations, two networks, three formats. Before you look: will one way win
# everywhere? And which network needs the choice most?

# %% tags=["deeper"]
explorers.calibrations()

# %% tags=["reveal"]
sweep = search.load_sweep("quantization")

def means(**wanted):
    return {p.settings["calibration"]: p.mean for p in sweep if wanted.items() <= p.settings.items()}

plain = {"mode": "static", "weight_bits": 8, "granularity": "per channel", "folded": False, "after_relu": "unsigned"}
contests = [means(model=name, activation_bits=n, **plain) for name in ("lab_cnn", "lab_mobile") for n in (4, 3, 2)]
# Signed 4 bits after a ReLU have the levels of unsigned 3 bits.
claims.holds("14c", max(contests[4].values()) - contests[4]["max"])
quiz.reveal(claims.holds("15", len({max(each, key=each.get) for each in contests})))

# %% tags=["reveal"]
tensor = {"mode": "static", "weight_bits": 4, "activation_bits": 4, "granularity": "per tensor", "folded": True}
floats = {p.settings["model"]: p.mean for p in sweep if p.settings["mode"] == "float"}
drops = {name: floats[name] - means(model=name, **tensor)["max"] for name in floats}
quiz.reveal(claims.holds("16", drops["lab_mobile"] / drops["lab_cnn"]))

# %% [markdown] tags=["deeper"]
# Entropy looks for the range whose histogram changes least. It can be led astray: put half of the values into one
# spike away from zero, as the background of standardised images does, and compare with the same spike at zero.

# %% tags=["deeper"]
values = torch.rand(20_000, generator=torch.Generator().manual_seed(0))
for place in (0.0, 0.3):
    observer = quantize.make_observer("entropy")
    observer.observe(torch.where(torch.arange(20_000) % 2 == 0, place, values))
    low, high = observer.bounds(quantize.INT4)
    print(f"spike at {place}: range kept up to {text.approx(f'{max(-low, high):.2f}')} of 1")

# %% [markdown] tags=["deeper"]
# **What we saw.** No calibration is best everywhere. The largest value loses as soon as levels are few, and loses most
# in a depthwise network. Entropy trusts the histogram, so a spike that means nothing can decide.
#
# **Exercise 2.4** Clip to -clip and clip, round to codes from -n to n with n = 2^(bits-1) - 1. Which of the candidates
# gives the smallest squared error?

# %% tags=["exercise"]
# Exercise 2.4: where to clip
def best_clip(values, bits, candidates):
    # BEGIN SOLUTION
    errors = []
    for clip in candidates:
        step = clip / (2 ** (bits - 1) - 1)
        back = step * (values.clamp(-clip, clip) / step).round()
        errors.append((values - back).square().sum())
    return candidates[torch.stack(errors).argmin()]
    # END SOLUTION

# %% tags=["check"]
checks.check("2.4", best_clip)

# %% tags=["deeper"]
noise = torch.randn(100_000, generator=torch.Generator().manual_seed(0))
ratios = []
for bits in (4, 8):
    observer = quantize.make_observer("mse")
    observer.observe(noise)
    low, high = observer.bounds(quantize.int_format(bits))
    ratios.append(quantize.report_grid(noise, quantize.int_format(bits), threshold=max(-low, high)).sqnr_db)
claims.holds("19b", (ratios[1] - ratios[0]) / 4)

# %% [markdown] tags=["deeper"] minutes=20
# ## 2 Which layers stay in floating point?
#
# Quantize one layer at a time and rank them by what they cost. Then leave the worst in floating point, one after the
# other. How many does it take?

# %% tags=["deeper"]
partial = {c.family: c for c in search.load_curves("partial") if c.label.startswith("W4 A4")}
chart = plots.Curves("layers left in floating point, the most sensitive first", search.sweep_date("partial"))
chart.update(list(partial.values()))
chart

# %% tags=["reveal"]
curve = partial["lab_mobile"].mean
half = curve[len(curve) // 2]
claims.holds("17a", (half - curve[0]) / (curve[-1] - curve[0]))
quiz.reveal(claims.holds("17b", min(np.diff(curve).min() for curve in (c.mean for c in partial.values()))))

# %% [markdown] tags=["deeper"]
# Or give each layer its own number of bits. You have a budget in bytes; you play against the same bits everywhere, and
# against a machine that reads the curves.

# %% tags=["deeper"]
config = quantize.QuantConfig(granularity=quantize.PER_TENSOR)
cnn = surgery.fold_batch_norm(models.load_model("lab_cnn"), garments.test_images[:1])
sensitivity = search.measure_bit_sensitivity(cnn, garments.batches(), shown, config=config)
explorers.budget_bits(cnn, garments, sensitivity, config)

# %% [markdown] tags=["deeper"]
# The whole workflow of Wu et al. (2020) is one call: four calibrations, then layers in floating point, then training.
# It stops at the first attempt that loses no more than the tolerance.

# %% tags=["deeper"]
four = quantize.QuantConfig(weights=quantize.INT4, activations=quantize.INT4)
judge = garments.subset(500, 1000)
found = quantize.quantize_workflow(mobile, shown, judge.batches(), tolerance=0.01, config=four)
for attempt in found.trials.attempts:
    print(f"{attempt.name}: {text.approx(text.percent(attempt.accuracy))}")
print("accepted:", text.approx(found.trials.accepted.name if found.trials.accepted else "none"))

# %% [markdown] tags=["deeper"]
# **What we saw.** A few layers carry most of the loss. Half of them in floating point win most of it back; a mixed
# budget does so with hardly any more bytes.

# %% [markdown] tags=["deeper"] minutes=25
# ## 3 Can rounding be repaired without training?
#
# `lab_mobile` on 4-bit weights, one scale for the tensor. Three repairs use calibration images only: equalization
# moves range from one layer to the next, bias correction puts the mean of each channel back, AdaRound decides for
# each weight whether up or down serves the layer's output.

# %% tags=["deeper"]
weights = quantize.QuantConfig(weights=quantize.INT4, granularity=quantize.PER_TENSOR)
even = quantize.apply_equalization(mobile, garments.test_images[:1])
rounded, evenly = (quantize.apply_static(net, shown, weights) for net in (mobile, even))
repaired = {
    "nothing": rounded,
    "equalized": evenly,
    "equalized, bias corrected": quantize.apply_bias_correction(evenly, even, shown),
    "equalized, AdaRound": quantize.apply_adaround(evenly, even, shown).model,
}
for name, net in (repaired | {"float": mobile}).items():
    print(f"{name}: {text.approx(text.percent(training.evaluate(net, garments.batches()).accuracy))}")

# %% [markdown] tags=["deeper"]
# **What we saw.** The ranges of neighbouring layers can be traded without changing one output. That wins back as much
# as choosing each rounding with care, and both together win most. It works because a ReLU lets a positive factor
# pass; a ReLU6 does not.
#
# **Exercise 2.7** weight * x goes into a batch norm. Give the weight and the bias of the line that does both; leave out
# eps.

# %% tags=["exercise"]
# Exercise 2.7: fold a batch norm
def fold(weight, gamma, beta, mean, variance):
    # BEGIN SOLUTION
    factor = gamma / variance**0.5
    return weight * factor, beta - mean * factor
    # END SOLUTION

# %% tags=["check"]
checks.check("2.7", fold)

# %% [markdown] tags=["deeper"] minutes=25
# ## 4 Can the range be trained?
#
# A fixed range is a guess from data. LSQ makes the step a parameter, PACT the upper end of the range; DoReFa squeezes
# the weights through tanh first. All networks train for the same two epochs from the same start.

# %% tags=["deeper"]
learned = {c.family: c for c in search.load_curves("learned_ranges") if c.label == "weights and activations"}
chart = plots.Curves("bits of weights and activations", search.sweep_date("learned_ranges"))
chart.update(list(learned.values()))
chart

# %% tags=["reveal"]
two = {name: curve.mean[0] for name, curve in learned.items()}
quiz.reveal(claims.holds("45", two["LSQ"] - two["largest value"]))

# %% [markdown] tags=["deeper"]
# Without a trained range, but with training: the shipped networks after two epochs with rounding, 4 bits.

# %% tags=["reveal"]
aware = next(c for c in search.load_curves("aware") if c.family == "lab_cnn" and c.label.startswith("W4 A4, a tenth"))
quiz.reveal(claims.holds("18b", aware.mean[-1] - aware.mean[0]))

# %% [markdown] tags=["deeper"]
# **What we saw.** At two bits the range decides, and training it pays. At four bits little is left to win.
#
# **Exercise 2.5** Values are clipped to -window and window and rounded to steps of size scale. `gradient` arrives at
# the rounded values. Give the gradient of the values, straight through.

# %% tags=["exercise"]
# Exercise 2.5: straight through
def straight_through(values, gradient, scale, window):
    # BEGIN SOLUTION
    return gradient * (values.abs() <= window)
    # END SOLUTION

# %% tags=["check"]
checks.check("2.5", straight_through)

# %% [markdown] tags=["deeper"] minutes=25
# ## 5 What does the clock say?
#
# The network of Vanhoucke, Senior and Mao (2011), 440-2000-2000-2000-2000-7969, in eleven ways on this machine. Every
# way is checked against double precision before its time counts.

# %% tags=["deeper"]
ladder = deploy.measure_ladder(frames=4, runs=2)
print(f"{text.count(ladder.macs)} MACs a frame")
for rung in ladder.rungs:
    times = text.approx(text.times(ladder.speedup(rung.name)))
    print(f"{rung.name}: {text.approx(text.ms(rung.frame_ms))} a frame, {times} faster than the plain loop")

# %% tags=["reveal"]
claims.timing("20c", ladder.speedup("vector float"))
claims.timing("20d", ladder.speedup("four sums"))
quiz.reveal(claims.timing("20b", ladder.speedup("int8, lazy, batch", over="int8, batch")))

# %% [markdown] tags=["deeper"]
# **What we saw.** Most of the speed of 8 bits comes from instructions that take many numbers at once, and from fewer
# bytes to read. The order of the paper's ladder holds where the compiler of today does not already climb it by itself.
#
# **Exercise 2.6** `x` holds uint8 codes with a zero point, `w` int8 codes with zero point 0, `scales` is the pair of
# their scales. Give the accumulator and the real value of the dot product.

# %% tags=["exercise"]
# Exercise 2.6: multiply and accumulate
def integer_dot(x, zero_point, w, scales):
    # BEGIN SOLUTION
    accumulator = ((x.int() - zero_point) * w.int()).sum()
    return accumulator, accumulator * scales[0] * scales[1]
    # END SOLUTION

# %% tags=["check"]
checks.check("2.6", integer_dot)

# %% [markdown] tags=["deeper"] minutes=10
# ## 6 What does a runtime do with it?
#
# In production the network leaves PyTorch: it is exported to ONNX, quantized there, and run by ONNX Runtime. Here
# resnet18 with random weights, as only time and bytes are asked.

# %% tags=["deeper"]
import tempfile
from pathlib import Path

resnet, images = resnet18(weights=None).eval(), torch.rand(4, 3, 64, 64)
with tempfile.TemporaryDirectory() as folder:
    paths = [Path(folder) / name for name in ("float", "int8")]
    files = [deploy.export_onnx(resnet, images, paths[0]), deploy.quantize_onnx_static(*paths, [(images,)])]
    slow, fast = metrics.compare_latency(*map(deploy.session, paths), images, runs=10)
print(f"file {text.approx(text.times(files[0].file_bytes / files[1].file_bytes))} smaller,", end=" ")
print(f"call {text.approx(text.times(slow.p50_ms / fast.p50_ms))} faster")

# %% [markdown] tags=["deeper"]
# **What we saw.** A large network gains in file and clock. For a tiny one the calls themselves take most of the time
# (`make bench NAME=int8`).

# %% tags=["deeper"]
claims.summary(2)

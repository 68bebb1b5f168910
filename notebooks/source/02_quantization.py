# %% [markdown] tags=["core"] slideshow={"slide_type": "slide"}
# # 2 Quantization: how few numbers are enough?
#
# A weight in floating point takes 32 bits. Quantization stores a small whole number instead, its code, and one scale
# for many codes: w is about s · q.
#
# **You are here:** chapter 2 of 7. Time: 90 minutes with the exercises. You need chapter 0.
#
# ```mermaid
# flowchart LR
#   accTitle: quantization
#   A[floating-point weights] --> B[scaling function]
#   B --> C[discretization]
#   C --> D[quantized integer weights]
# ```
#
# *Quantization in four steps: take floating-point weights, scale them, round to whole numbers, store the codes.*

# %% tags=["setup"]
import tempfile
from pathlib import Path

import numpy as np
import torch

from labcore import data, deploy, metrics, models, plots, quantize, search, surgery, text, training
from labcore.lesson import checks, claims, progress, quiz
from labcore.widgets import explorers

# %% [markdown] tags=["core"] slideshow={"slide_type": "slide"} minutes=15
# ## 1 What does one bit buy?
#
# Four weights and four bits: the largest magnitude gets the largest code, 7; the others follow. Then a whole layer of
# a trained network: move the bits, the range and the outlier.

# %% tags=["core"]
weights = torch.tensor([0.91, -0.30, 0.05, -0.62])
scale = weights.abs().max() / 7
codes = (weights / scale).round()
print("codes:", codes.int().tolist(), "decoded:", [f"{value:.2f}" for value in (scale * codes).tolist()])
grid = quantize.fit_grid(weights, quantize.INT4)
assert torch.equal(quantize.encode(weights, grid).float(), codes)
claims.verdict("S14", {"codes": (weights - scale * codes).abs().max() / scale})

# %% tags=["core"]
garments = data.load_dataset("fashion14")
cnn = models.load_model("lab_cnn")
explorers.number_line(cnn.conv3.weight, "weights of conv3")

# %% tags=["reveal"]
noise = torch.randn(100_000, generator=torch.Generator().manual_seed(0))
ratios = [quantize.report_grid(noise, quantize.int_format(bits)).sqnr_db for bits in (4, 8)]
quiz.reveal(claims.holds("19a", (ratios[1] - ratios[0]) / 4))

# %% [markdown] tags=["core"]
# **What we saw.** One bit more halves the step, which is worth about 6 dB. One outlier takes the whole range, and
# all other weights fall on a few levels.
#
# **Exercise 2.1** Codes go from 0 to 255, and x is about scale * (q - zero_point). Give scale and zero point for these
# values. 0.0 must come back as exactly 0. When all values are 0, give scale 1.

# %% tags=["exercise"]
# Exercise 2.1: scale and zero point
def scale_and_zero_point(values):
    # BEGIN SOLUTION
    low, high = min(values.min().item(), 0), max(values.max().item(), 0)
    if low == high:
        return 1, 0
    scale = (high - low) / 255
    return scale, round(-low / scale)
    # END SOLUTION

# %% tags=["check"]
checks.check("2.1", scale_and_zero_point)

# %% [markdown] tags=["core"] slideshow={"slide_type": "slide"} minutes=15
# ## 2 Which range should the levels cover?
#
# Activations have no fixed range: we must look at data. Here they get three positive levels, which is what signed
# 3 bits leave after a ReLU. We cut off the largest 1 % of the values. What happens to the accuracy?

# %% tags=["core"]
folded = surgery.fold_batch_norm(cnn, garments.test_images[:1])
shown = [garments.train_images[:500]]
whole = training.evaluate(cnn, garments.batches())

def right(net):
    return training.evaluate(net, garments.batches()).accuracy

def static(**settings):
    return quantize.apply_static(folded, shown, quantize.QuantConfig(**settings))

quiz.ask_prediction("2.cut_largest")

# %% tags=["reveal"]
three = {"activations": quantize.int_format(3), "after_relu": "signed"}
ranges = {"largest": ("max", 100), "99 %": ("percentile", 99), "least error": ("mse", 100)}
kept = {name: right(static(calibration=how, percentile=p, **three)) for name, (how, p) in ranges.items()}
seven = {how: right(static(calibration=how, activations=quantize.int_format(3))) for how in ("max", "mse")}
claims.holds("14b", seven["mse"] - seven["max"])
measured = {"accuracy": kept["99 %"] - kept["largest"]}
quiz.reveal(claims.holds("14a", kept["least error"] - kept["largest"]), question="2.cut_largest", measured=measured)

# %% tags=["core"]
explorers.clipping(cnn, garments)

# %% [markdown] tags=["core"]
# **What we saw.** A wide range rounds coarsely, a narrow one clips. The sum of both errors has its lowest point in
# between. With many levels the choice hardly matters; a format with minus signs wastes half of its codes after a ReLU.
#
# **Exercise 2.2** Store the values as int8 codes from -127 to 127 and read them back: give the values that come back.

# %% tags=["exercise"]
# Exercise 2.2: encode and read back
def read_back(values, scale):
    # BEGIN SOLUTION
    codes = (values / scale).round().clamp(-127, 127).to(torch.int8)
    return scale * codes
    # END SOLUTION

# %% tags=["check"]
checks.check("2.2", read_back)

# %% [markdown] tags=["core"] slideshow={"slide_type": "slide"} minutes=15
# ## 3 One ruler for all channels?
#
# A tensor can have one scale, or each output channel its own. And what becomes of batch norm, which multiplies every
# channel by a number of its own? Five shipped networks of different width answer; their weights alone are quantized.

# %% tags=["core"]
nets = [models.load_model("lab_cnn", width=width) for width in (8, 12, 16, 24, 32)]
plain = [surgery.fold_batch_norm(net, garments.test_images[:1]) for net in nets]
rulers = {"channel": quantize.PER_CHANNEL, "tensor": quantize.PER_TENSOR}

def on_bits(net, bits, ruler):
    config = quantize.QuantConfig(weights=quantize.int_format(bits), granularity=rulers[ruler])
    return quantize.apply_weight_only(net, config)

gaps = {bits: np.mean([right(on_bits(net, bits, "channel")) - right(on_bits(net, bits, "tensor")) for net in plain])
        for bits in (3, 8)}

# %% tags=["reveal"]
claims.holds("13b", gaps[8])
quiz.reveal(claims.holds("13a", gaps[3]))

# %% [markdown] tags=["core"]
# Batch norm can be folded: gamma / sigma goes into the weights, the rest into the bias. Does folding make quantization
# harder? And what if the batch norm is kept, and its own four tensors go on few bits?
#
# A residual network is said to be difficult too: it adds two values, each with its own scale. How much error does that
# sum bring, when everything is whole numbers?

# %% tags=["core"]
def answers(net, bits):
    return training.evaluate(on_bits(net, bits, "channel"), garments.batches()).predictions

differ = sum(int((answers(cnn, bits) != answers(folded, bits)).sum()) for bits in (8, 4, 3, 2))
floats = np.array([right(net) for net in nets])
lost = {bits: np.mean(floats - [right(quantize.apply_batch_norm_bits(net, bits)) for net in nets]) for bits in (8, 5)}
residual = surgery.fold_batch_norm(models.load_model("lab_resnet"), garments.test_images[:1])
sums = quantize.measure_sums(quantize.apply_static(residual, shown, quantize.QuantConfig()), garments.test_images[:500])
for each in sums:
    scales = " and ".join(text.approx(f"{ratio:.2f}") for ratio in each.ratios)
    print(f"scales {scales} of the sum's; adding: squared error {text.approx(text.percent(each.added, 0))} larger")

# %% tags=["reveal"]
claims.holds("51", differ)
claims.holds("52a", lost[8])
ranges = {name: net.conv1.weight.detach().abs().flatten(1).amax(1) for name, net in (("", cnn), (", folded", folded))}
spans = {f"ranges of conv1{name}": each for name, each in ranges.items()} | {"variances of bn1": cnn.bn1.running_var}
for name, channels in spans.items():
    print(f"{name}: largest over smallest {text.approx(text.times((channels.max() / channels.min()).item()))}")
quiz.reveal(claims.holds("52b", lost[5]))

# %% [markdown] tags=["core"]
# **What we saw.** With few bits a channel of small weights needs its own ruler. Folding multiplies a channel by a
# constant: the ranges of the channels lie farther apart, and the channel's own ruler swallows it. Not one prediction
# changes. Batch norm is difficult only when its
# own numbers go on few bits: the variances of one layer lie far apart, and small ones become zero. Two scales are
# brought to a third by two multipliers, and the sum is rounded once: it brings less error than was there.
#
# **Exercise 2.3** Give the codes of a weight with one scale an output channel. A row is a channel; its largest
# magnitude gets 127 (or -127).

# %% tags=["exercise"]
# Exercise 2.3: one scale a channel
def channel_codes(weight):
    # BEGIN SOLUTION
    scales = weight.abs().amax(dim=1, keepdim=True) / 127
    return (weight / scales).round()
    # END SOLUTION

# %% tags=["check"]
checks.check("2.3", channel_codes)

# %% [markdown] tags=["core"] slideshow={"slide_type": "slide"} minutes=15
# ## 4 How far down can the whole network go?
#
# Weights and activations together, on one network. Which control hurts first? In the mode "aware" the weights were
# trained with their rounding beforehand, by a short schedule; part 5 trains longer, and live.

# %% tags=["core"]
explorers.quantization(cnn, garments, quantize.load_aware(folded, garments.test_images[:1]))

# %% tags=["reveal"]
ways = [("max", 100), ("percentile", 99.9), ("percentile", 99.99), ("mse", 100)]
eight = [whole.accuracy - right(static(calibration=how, percentile=p)) for how, p in ways]
claims.holds("21", whole.accuracy - right(static(granularity=quantize.PER_TENSOR)))
quiz.reveal(claims.holds("12", max(eight)))

# %% [markdown] tags=["core"] slideshow={"slide_type": "slide"} minutes=15
# ## 5 Who needs data, who needs training?
#
# Static: the ranges of activations are fixed beforehand, from data. Dynamic: each batch brings its own range. Weight
# only: activations are not touched. Aware: the network trains with its rounding. Here it trains live.

# %% tags=["core"]
config = training.TrainConfig(epochs=2, learning_rate=4e-4)
narrow = {"weights": quantize.int_format(3), "activations": quantize.int_format(3)}
aware = static(**narrow)
before = right(aware)
training.fit(aware, garments.batches(64, split="train", seed=0), config)
trained = right(aware)
print(f"3 bits: {text.approx(text.percent(before))}, trained {text.approx(text.percent(trained))}")

# %% tags=["reveal"]
quiz.reveal(claims.holds("18a", trained - before))

# %% tags=["core"]
original = training.TrainConfig(epochs=8, learning_rate=4e-3)
eight_bits = quantize.QuantConfig()
four = {"static": static(), "dynamic": quantize.apply_dynamic(folded, eight_bits),
        "weight-only": quantize.apply_weight_only(folded, eight_bits), "aware": static()}
training.fit(four["aware"], garments.batches(64, split="train", seed=0), quantize.aware_config(original))
needs = {"static": "data", "dynamic": "nothing", "weight-only": "nothing", "aware": "data, training"}
accuracies = {name: right(net) for name, net in four.items()}
for name, net in four.items():
    shown_bytes = text.size(quantize.measure_file_bytes(net))
    print(f"{name}: {text.approx(text.percent(accuracies[name]))}, {shown_bytes}, needs {needs[name]}")

# %% tags=["reveal"]
worst = max(whole.accuracy - value for value in accuracies.values())
quiz.reveal(claims.holds("53", worst))

# %% [markdown] tags=["core"]
# **What we saw.** At 8 bits every way keeps the accuracy, so take the one that needs least. At 3 bits calibration is
# not enough, and training with the rounding wins points back. Dynamic quantization keeps real numbers between the
# layers; inside an operation they are rounded all the same.

# %% [markdown] tags=["core"] slideshow={"slide_type": "slide"} minutes=15
# ## 6 Can the network do without floating point?
#
# So far all whole numbers were simulated in floating point. Follow one output through a network that has none. Then ask
# file, energy and clock. For the clock there is a second network, the one of Vanhoucke et al. (2011): computed by a
# plain loop, by a float library, and by 8-bit routines.

# %% tags=["core"]
explorers.integer_walk(cnn, garments, ("conv1", "conv2"), at=(4, 6, 10))

# %% tags=["core"]
integer = quantize.convert(four["static"], garments.test_images[:1])
eighth, simulated = (training.evaluate(net, garments.batches()) for net in (integer, four["static"]))
same = (eighth.predictions == simulated.predictions).mean()
with tempfile.TemporaryDirectory() as folder:
    quantize.save_integer(Path(folder) / "integer", integer)
    file_bytes = (Path(folder) / "integer").stat().st_size
float_bytes = metrics.measure_sizes(cnn).file_bytes
share = file_bytes / float_bytes
print(f"file: {text.size(file_bytes)}, {text.percent(share)} of the float file")
report = quantize.report_network(four["static"], metrics.measure_costs(cnn, garments.test_images[:1]), float_bytes)
energy = sum(report.energy.values())
print(f"energy, estimated: {text.percent(energy)} of the float network's")

# %% tags=["core"]
print("this processor has:", text.approx(deploy.integer_instructions()))
ladder = deploy.measure_ladder(frames=2, runs=2)
whole_numbers = [rung for rung in ladder.rungs if rung.bits == 8 and rung.share == 1]
best = min(whole_numbers, key=lambda rung: rung.frame_ms)
timed = [*map(ladder.rung, ("naive loop", "vector float", "BLAS")), best]
for name, rung in zip(("naive loop", "vector float", "BLAS", "best with 8 bits"), timed, strict=True):
    print(f"{name}: {text.approx(text.ms(rung.frame_ms))} a frame")

# %% tags=["core"]
strip = plots.LatencyStrip(("float", "simulated 8 bits"))
slow = metrics.compare_latency(folded, four["static"], garments.test_images[:50])
strip.update(slow)
claims.timing("20a", ladder.speedup(best.name))
kernel = best.frame_ms / ladder.rung("BLAS").frame_ms
claims.verdict("S20", {"kernel": kernel, "simulated": slow[1].p50_ms / slow[0].p50_ms})
strip

# %% [markdown] tags=["core"]
# **What we saw.** Whole numbers give the same answers, the file shrinks, and the energy is estimated to fall. The clock
# follows only where a routine for 8-bit numbers exists. A simulation computes in floating point all the same, and
# rounds besides: it is slower.
#
# **My point on the course's chart, and who pays.** The point is `lab_cnn` in whole numbers, by the bytes of its file.
# Who pays is asked of the network on 3 bits, as 8 bits cost nothing.

# %% tags=["core"]
mine = search.make_point("mine", "8-bit integers", folded, garments.test_images[:1], eighth, file_bytes=file_bytes)
chart = plots.AccuracyAgainstCost(
    search.load_sweep("widths"), cost="file_bytes", floor=progress.floor(), date=search.sweep_date("widths")
)
chart.update(mine)
chart

# %% tags=["core"]
after = training.evaluate(aware, garments.batches())
who = plots.WhoPays(garments.class_names, garments.test_images.numpy())
who.update((metrics.measure_changes(whole, after), after))
who

# %% [markdown] tags=["core"]
# **What the course text says, and what you measured.** At home: exercises 2.4 to 2.7 in the deeper chapter.

# %% tags=["core"]
with surgery.tap(four["dynamic"], ["conv2.input_quantizer"]) as taps:
    four["dynamic"](garments.test_images[:50])
seen = taps["conv2.input_quantizer"]
levels = [len(each[0].unique()) for each in (seen.inputs, seen.outputs)]
claims.verdict("S17", {"between": levels[0], "inside": levels[1]})
two = static(weights=quantize.INT2, activations=quantize.INT2)
claims.verdict("S15", {"eight": eight[0], "three": whole.accuracy - before})
claims.verdict("S16", {"eight": whole.accuracy - accuracies["aware"], "three": whole.accuracy - trained})
claims.verdict("S22", {"two": whole.accuracy - right(two)})
added = max(each.added for each in sums)
claims.verdict("S23", {"kept": lost[5], "folded": differ / len(garments.test_images), "sums": added})

# %% tags=["core"]
claims.verdict("S18", {"same": same})
claims.verdict("S19", {"file": share})
claims.verdict("S21", {"energy": energy})
claims.summary(2)

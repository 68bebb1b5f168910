# %% [markdown] tags=["core"] slideshow={"slide_type": "slide"}
# # 0 What does a network cost?
#
# Four techniques make networks smaller and faster: pruning, quantization, distillation, binarization. Before you use
# one, you need to know what a network costs, how well you can measure it, and what the simplest answer, a narrower
# network, already gives.
#
# **You are here:** chapter 0 of 7. Time: 75 minutes with the exercises.
#
# - Run the cells from top to bottom. A triangle hides an answer: think first, then open it.
# - Every number is computed here, on a real network. A leading ≈ marks a number that may differ on your machine. If
#   another number differs from the text, something is wrong: please report it.
# - Your copy lives in `work/`. To get a clean copy, delete the file there and start the lab again.

# %% tags=["setup"]
import copy
import math

from torch import nn
from torch.nn import functional as F

from labcore import data, metrics, models, plots, search, text, training
from labcore.lesson import checks, claims, progress, quiz
from labcore.widgets import explorers

# %% [markdown] tags=["core"]
# **Words that are easy to confuse**
#
# | word | means | not to be confused with |
# |---|---|---|
# | sparsity | share of zeros | density: share of non-zeros; pruning ratio: share of channels removed |
# | MAC | one multiplication and one addition | FLOP: one of the two; BOP: a MAC times the bits of both factors |
# | latency | time of one call | throughput: images a second |
# | parameter memory | weights, the same for every image | activation memory: maps that live while an image runs |
# | mask | says which weights are zero | removal: the tensor really gets smaller |
# | fake quantization | floats rounded to a grid | integer quantization: integers really computed with |
#
# **Eight questions** before you start. They cover what this course takes for granted. A miss comes with a link.

# %% tags=["core"]
quiz.self_test()

# %% [markdown] tags=["core"] slideshow={"slide_type": "slide"} minutes=12
# ## 1 How often is it right, and what may you lose?
#
# The network of this course is `lab_cnn`: three convolutions and one linear layer. It names garments on images of 14
# x 14 pixels. Here are twelve test images, then the accuracy of each class.
#
# An accuracy is an estimate. Other test images would give another number. The 95 % interval says how far apart two
# such numbers may well lie. How could a smaller network get worse without anyone noticing?

# %% tags=["core"]
garments = data.load_dataset("fashion14")
model = models.load_model("lab_cnn")
answers = training.evaluate(model, garments.batches())
grid = plots.ImageGrid(columns=6, rows=2)
grid.update((garments.test_images.numpy(), answers, garments.class_names, range(12)))
grid

# %% tags=["core"]
per_class = metrics.intervals_per_class(answers)
bars = plots.ClassBars(garments.class_names, progress.floor())
bars.update((per_class, metrics.accuracy_interval(answers)))
bars

# %% [markdown] tags=["core"]
# **What we saw.** One accuracy hides ten. A class can fall far while the whole hardly moves. A class has few images,
# so its interval is wide: a small difference needs more than two numbers side by side.
#
# **Your floor.** How many points may a smaller network lose before you reject it? The answer depends on what the
# network is for. Choose yours. Every accuracy chart of this course shows it as a dashed line.

# %% tags=["core"]
quiz.ask_floor()

# %% [markdown] tags=["core"] slideshow={"slide_type": "slide"} minutes=13
# ## 2 What does one convolution do?
#
# One output value of a convolution is a sum of products: a patch of the image times the kernel.
#
# $$y_{ij} = \sum_{u=0}^{2}\sum_{v=0}^{2} x_{i+u,\,j+v}\; w_{uv}$$
#
# First one output value, step by step. Then all of them by hand, in two loops, compared with PyTorch.

# %% tags=["core"]
image = garments.test_images[7, 0].numpy()
kernel = model.conv1.weight[3, 0].detach().numpy()
steps = plots.ConvolutionSteps()
steps.update((image, kernel, (4, 5)))
steps

# %% tags=["core"]
rows, columns = image.shape
by_hand = [[(image[i : i + 3, j : j + 3] * kernel).sum() for j in range(columns - 2)] for i in range(rows - 2)]
library = F.conv2d(garments.test_images[7:8], model.conv1.weight[3:4].detach())[0, 0]
largest_difference = abs(library.numpy() - by_hand).max()
assert largest_difference < 1e-5

# %% [markdown] tags=["exercise"]
# **Exercise 0.1** A convolution has one kernel for each pair of input and output channels. With groups, each filter
# sees only its own share of the input channels. How many parameters does it hold, bias included?

# %% tags=["exercise"]
# Exercise 0.1: parameters of a convolution
def conv_parameters(in_channels, out_channels, kernel, groups, bias):
    # BEGIN SOLUTION
    weights = out_channels * (in_channels // groups) * kernel * kernel
    return weights + (out_channels if bias else 0)
    # END SOLUTION

# %% tags=["check"]
checks.check("0.1", conv_parameters)

# %% [markdown] tags=["exercise"]
# **Exercise 0.2** A MAC is one multiplication with its addition. Every output value costs one MAC for each weight of
# its filter. Count the MACs of a convolution without groups. Do not count the bias.

# %% tags=["exercise"]
# Exercise 0.2: MACs of a convolution
def conv_macs(in_channels, out_channels, kernel, stride, padding, size):
    # BEGIN SOLUTION
    out_size = (size + 2 * padding - kernel) // stride + 1
    return out_size * out_size * out_channels * in_channels * kernel * kernel
    # END SOLUTION

# %% tags=["check"]
checks.check("0.2", conv_macs)

# %% [markdown] tags=["core"]
# **A cheaper convolution.** MobileNet splits a convolution in two: one kernel for each channel (depthwise), then a 1
# x 1 convolution across channels. The counter measures both on the same input. Does the ratio follow the paper's
# formula?

# %% tags=["reveal"]
standard, maps = nn.Conv2d(32, 64, 3, padding=1), garments.test_images[:1].expand(1, 32, 14, 14)
separable = models.DepthwiseSeparable(32, 64, stride=1)
share = metrics.count_macs(separable, maps) / metrics.count_macs(standard, maps)
quiz.reveal(claims.holds("46", share / (1 / 64 + 1 / 9)))

# %% [markdown] tags=["core"] slideshow={"slide_type": "slide"} minutes=12
# ## 3 Which layer costs most?
#
# The answer depends on the currency: parameters, MACs, activations or time. Before you look, write down one layer for
# each of the four. Then move the width.

# %% tags=["core"]
explorers.costs(garments)

# %% [markdown] tags=["core"]
# **What we saw.** Each currency can have another champion. A layer with few parameters can make the largest map. A
# layer with many MACs need not take the longest time. So *smaller* and *faster* are different goals.
#
# **Does the number of parameters tell the memory that a network needs while it runs?** Two networks follow, with the
# same number of parameters. One works on the full image, the other on an image that is pooled first.

# %% tags=["reveal"]
convolutions = [nn.Conv2d(1, 32, 3, padding=1), nn.ReLU(), nn.Conv2d(32, 32, 3, padding=1)]
late, early = nn.Sequential(*convolutions, nn.MaxPool2d(2)), nn.Sequential(nn.MaxPool2d(2), *convolutions)
assert metrics.count_params(late) == metrics.count_params(early)
peaks = [metrics.measure_costs(net, garments.test_images[:1]).peak_activation_bytes for net in (late, early)]
quiz.reveal(claims.holds("48", peaks[0] / peaks[1]))

# %% [markdown] tags=["core"]
# **Three sizes.** The dense size counts every parameter with 4 bytes. The theoretical size counts nonzero values
# only. The third is what lies on the disk. We set half of the weights of a copy to zero. Which sizes change?

# %% tags=["core"]
zeros = copy.deepcopy(model)
for weight in zeros.parameters():
    weight.data[weight.abs() < weight.abs().median()] = 0
for name, net in {"as trained": model, "half are zeros": zeros}.items():
    sizes, macs = metrics.measure_sizes(net), metrics.count_macs(net, garments.test_images[:1])
    print(f"{name}: dense {text.size(sizes.dense_bytes)}, theoretical {text.size(sizes.theoretical_bits / 8)},")
    print(f"  file {text.size(sizes.file_bytes)}, {text.count(macs)} MACs")

# %% [markdown] tags=["exercise"]
# **Exercise 0.3** The first number of a weight's shape counts the output channels. Store each weight with a few bits,
# and one scale for each output channel. How many bytes is that?

# %% tags=["exercise"]
# Exercise 0.3: bytes of a quantized layer
def file_bytes(shape, bits, scale_bits):
    # BEGIN SOLUTION
    return (math.prod(shape) * bits + shape[0] * scale_bits) / 8
    # END SOLUTION

# %% tags=["check"]
checks.check("0.3", file_bytes)

# %% [markdown] tags=["core"] slideshow={"slide_type": "slide"} minutes=10
# ## 4 How long does one call take?
#
# Two networks, thirty calls each. The calls alternate, so that a busy moment of the machine hits both. Look at the
# spread before you look at the difference.

# %% tags=["core"]
narrow = models.load_model("lab_cnn", width=8)
pair = metrics.compare_latency(model, narrow, garments.test_images[:50])
strip = plots.LatencyStrip(("width 16", "width 8"))
strip.update(pair)
strip

# %% [markdown] tags=["core"]
# **What we saw.** The first calls are slower: they are the warm-up and do not count. Single calls differ for the same
# network. A mean follows every hiccup; the median hardly moves. State the threads, the batch, and the spread.
#
# **Exercise 0.5** From a list of timings in milliseconds, give the typical time of one call. The first call of the
# list is the warm-up.

# %% tags=["exercise"]
# Exercise 0.5: a typical time
def typical_time(samples_ms):
    # BEGIN SOLUTION
    counted = sorted(samples_ms[1:])
    middle = len(counted) // 2
    return counted[middle] if len(counted) % 2 else (counted[middle - 1] + counted[middle]) / 2
    # END SOLUTION

# %% tags=["check"]
checks.check("0.5", typical_time)

# %% [markdown] tags=["core"] slideshow={"slide_type": "slide"} minutes=15
# ## 5 What does plain narrowing give?
#
# The simplest compression needs no technique: make every layer half as wide and train again. Commit to a range first.
# Then train the half-width network here; it takes a few seconds.

# %% tags=["core"]
quiz.ask_prediction("0.half_width")

# %% tags=["core"]
half = models.make_model("lab_cnn", width=8)
config = training.TrainConfig(epochs=8, learning_rate=4e-3)
log = training.fit(half, garments.batches(64, split="train", seed=0), config)
half_answers = training.evaluate(half, garments.batches())
print(text.approx(text.percent(half_answers.accuracy)), "after", len(log.losses), "epochs")

# %% [markdown] tags=["core"]
# **How many parameters are left, and how much accuracy is lost?** Open the answer. Below it stands the course's chart
# with your point. Hover over a point to see its network; click a name in the legend to hide a family. Every later
# chapter adds a family, and must beat the line of plainly narrower networks. The last picture asks who pays: it
# compares the two networks image by image.

# %% tags=["reveal"]
sweep = search.load_sweep("widths")
mine = search.make_point("mine", "width 8, trained here", half, garments.test_images[:1], half_answers)
chart = plots.AccuracyAgainstCost(sweep, floor=progress.floor(), date=search.sweep_date("widths"))
chart.update(mine)
fewer = metrics.count_params(model) / metrics.count_params(half)
change = half_answers.accuracy - answers.accuracy
quiz.reveal(chart, question="0.half_width", measured={"parameters": fewer, "accuracy": change})

# %% tags=["core"]
chart

# %% tags=["core"]
changes = metrics.measure_changes(answers, half_answers)
who = plots.WhoPays(garments.class_names, garments.test_images.numpy())
who.update((changes, half_answers))
who

# %% [markdown] tags=["core"]
# **What we saw.** More images flip than the accuracy shows: some get worse, others better. Some classes pay more than
# others.

# %% [markdown] tags=["core"] slideshow={"slide_type": "slide"} minutes=8
# ## 6 Where does the course go?
#
# ```mermaid
# flowchart LR
#   accTitle: course
#   A[large model] --> B[pruning]
#   B --> C[quantization]
#   C --> D[distillation]
#   D --> E[compact model]
# ```
#
# *The textbook order: a large model is pruned, quantized and distilled into a compact one. Chapter 5 tests this
# order.*
#
# | chapter | technique | saves |
# |---|---|---|
# | 1 | pruning: remove weights, filters, neurons | size when packed, time when channels go |
# | 2 | quantization: fewer bits a number | size, and time where a kernel exists |
# | 3 | distillation: a small network learns from a large one | everything, for the price of a teacher |
# | 4 | binary and ternary networks: one or two bits | size, on easy tasks |
# | 5 | combining them, and searching for a network | more than each, less than the product |
# | 6 | applications: mobile, edge, language, real time | what the client needs |
# | 7 | your own model | your turn |
#
# The course text makes three statements about all of them. Each gets a verdict from what you measured.

# %% tags=["core"]
sample, sixteen_bits = garments.test_images[:1], copy.deepcopy(model).half()
half_file, half_macs = metrics.cost_ratios(half, model, sample)
bits_file, bits_macs = metrics.cost_ratios(sixteen_bits, model, sample)
narrower = {"half_width_file": half_file, "half_width_macs": half_macs}
claims.verdict("S1", {"half_precision_file": bits_file, "half_precision_macs": bits_macs, **narrower})

# %% tags=["core"]
mean = {int(point.settings["width"]): point.mean for point in sweep if "lab_cnn" in point.family}
claims.verdict("S2", {f"width_{width}": mean[width] - mean[16] for width in (12, 8, 4)})
half_zeros = max(metrics.cost_ratios(zeros, model, sample))
either = {"half_width": max(half_file, half_macs), "half_precision": max(bits_file, bits_macs)}
claims.verdict("S3", {**either, "half_zeros": half_zeros})
claims.summary(0)

# %% [markdown] tags=["deeper"]
# # 3 Distillation, deeper
#
# Sections that stand alone. Run the first code cells up to section 1, then any section.
#
# | section | minutes | you need |
# |---|---|---|
# | 1 Which temperature for a tiny student? | 15 | temperature |
# | 2 Can a student copy where the teacher looks? | 25 | the loss |
# | 3 What exactly in the answers teaches? | 20 | the loss |
# | 4 Does the teacher have to know anything? | 15 | the loss |
# | 5 Do more teachers help, or more steps? | 20 | temperature |

# %% tags=["setup"]
import torch
from torch.nn import functional

from labcore import data, distill, metrics, models, plots, search, text, training
from labcore.lesson import checks, claims, quiz

def by_labels(student, teacher, labels):
    return functional.cross_entropy(student, labels)

def by_answers(student, teacher, labels):
    return distill.distillation_loss(student, teacher, labels, temperature=4, alpha=0.9)

# %% [markdown] tags=["deeper"]
# Sections 2 to 4 share one small experiment. The teacher is LeNet-5, which had seen 4,000 labels. The student is a
# LeNet-5 with a fifth of the maps, and it gets 200 images. Each student is compared with the one that learns from
# labels alone, on the same 1,000 test images. One run is a noisy measurement: every gain has its 95 % interval.

# %% tags=["deeper"]
digits, teacher = data.load_dataset("mnist5k").subset(200, 1000), models.load_model("lenet5")

def teach(loss, *features, teacher=teacher):
    config, batches = training.TrainConfig(epochs=50, learning_rate=4e-3), digits.batches(50, split="train", seed=0)
    small = models.make_model("lenet5", width=4, seed=0)
    taught = distill.train_student(small, teacher, batches, config, loss=loss, features=features)
    return training.evaluate(taught.model, digits.batches())

# %% tags=["deeper"]
alone, plain = teach(by_labels), teach(by_answers)

# %% tags=["deeper"]
def gain(answers):
    return metrics.compare_paired(alone, answers).difference

def show(**taught):
    for who, answers in taught.items():
        low, value, high = (text.approx(text.points(x)) for x in vars(gain(answers)).values())
        print(f"{who}: {text.approx(text.percent(answers.accuracy))} right, gain {value} ({low} to {high})")

show(labels_alone=alone, answers=plain)
assert gain(plain).low > 0

# %% [markdown] tags=["deeper"] minutes=15
# ## 1 Which temperature for a tiny student?
#
# A student with 2 x 300 units can follow the teacher in everything it says. Students with 2 x 20 or 2 x 10 units
# cannot. Who wants the high temperature? The curves were measured beforehand, with 1,000 digits and five seeds.

# %% tags=["deeper"]
curves = {curve.family: curve for curve in search.load_curves("temperature") if curve.label == "distilled"}
chart = plots.Curves("temperature (log scale)", search.sweep_date("temperature"), log=True)
chart.update(list(curves.values()))
chart

# %% [markdown] tags=["deeper"]
# A curve that falls is not yet a fall: seeds spread. Seed by seed, what does T = 2 gain over T = 20?

# %% tags=["deeper"]
def low_not_high(curve):
    at = dict(zip(curve.x.tolist(), curve.values.T, strict=True))
    return metrics.measure_seed_gain(curve.family, at[2], at[20])

# %% tags=["deeper"]
large, small, tiny = (low_not_high(curve) for curve in curves.values())
view = plots.SeedGains(search.sweep_date("temperature"))
view.update([large, small, tiny])
view

# %% tags=["deeper"]
assert (large.clear, small.clear, tiny.clear) == (True, False, True)
assert large.interval.high < 0 < tiny.interval.low

# %% tags=["reveal"]
def gain_of_low(family):
    at = dict(zip(curves[family].x.tolist(), curves[family].mean.tolist(), strict=True))
    return max(at[1], at[2]) - at[20]

# %% tags=["reveal"]
quiz.reveal(claims.does_not_reproduce("29", gain_of_low("student, 2 x 20 units")))

# %% tags=["reveal"]
quiz.reveal(claims.holds("29b", gain_of_low("student, 2 x 10 units")))

# %% [markdown] tags=["deeper"]
# **What we saw.** The large student gains up to a temperature and then stays there. The small one is best in the
# middle, but the seeds cannot tell its low temperatures from the high one. Only the tiny one clearly falls: a high
# temperature asks it to match all logits, also those of classes that are far away, and it has no room for them.
#
# Where the fall begins depends on the training as well. The curves are of the learning rate that serves labels best.
# Here is the student of 2 x 20 units again, with a tenth of that rate: as many epochs, and four times as many. What
# does T = 1 gain over T = 20?

# %% tags=["deeper"]
slow = {curve.family: curve for curve in search.load_curves("slow_students")}
low, high = slow["T = 1"], slow["T = 20"]
gains = [
    metrics.measure_seed_gain(f"{epochs} epochs", low.values[:, i], high.values[:, i])
    for i, epochs in enumerate(low.x.tolist())
]
assert gains[0].interval.low > 0
assert gains[1].interval.value < gains[0].interval.value / 3

# %% tags=["deeper"]
view = plots.SeedGains(search.sweep_date("slow_students"))
view.update(gains)
view

# %% [markdown] tags=["deeper"]
# Most of the gap goes when the student may go on learning: it was less too small than not finished. A gap between
# temperatures can be a gap in the training. For the tiny student a lack of room is the better reason: it falls at the
# best rate too.

# %% [markdown] tags=["deeper"] minutes=25
# ## 2 Can a student copy where the teacher looks?
#
# So far only the last layers are compared. A *hint* compares a layer in the middle: the student's maps, through a 1x1
# convolution that is thrown away afterwards, should equal the teacher's maps. *Attention transfer* compares only where
# a layer is active: the mean of the squares over all channels.

# %% tags=["deeper"]
hint = distill.FeatureMatch("conv2", "conv2", distill.Hint(10, 50), weight=0.05)
attention = distill.FeatureMatch("conv2", "conv2", distill.attention_loss, weight=10)
hinted, attentive = teach(by_labels, hint), teach(by_labels, attention)
show(labels_and_hint=hinted, labels_and_attention=attentive)
assert gain(plain).value > max(gain(hinted).value, gain(attentive).value)

# %% [markdown] tags=["deeper"]
# **What we saw.** The answers help, the features do not: not with this weight, and not with others. Both networks have
# two convolutions, so there is no deep layer that would need a hint. The networks of the papers were thin and deep.
#
# **Exercise 3.6** Features have the shape (images, channels, height, width). Mean of the squares over the channels,
# flattened, and each map divided by its length.

# %% tags=["exercise"]
# Exercise 3.6: an attention map
def attention_map(features):
    # BEGIN SOLUTION
    maps = features.square().mean(dim=1).flatten(1)
    return maps / maps.norm(dim=1, keepdim=True)
    # END SOLUTION

# %% tags=["check"]
checks.check("3.6", attention_map)

# %% [markdown] tags=["deeper"] minutes=20
# ## 3 What exactly in the answers teaches?
#
# The soft term can be split in two. One part says how sure the teacher is of the right class. The other says how the
# rest is shared among the wrong classes, and it is weighed with that rest: a sure teacher silences it. *Decoupled*
# distillation gives the second part a weight of its own. First the split, on one image:

# %% tags=["deeper"]
student, soft, label = torch.tensor([[1.0, 2.0, 0.0]]), torch.tensor([[4.0, 2.5, 1.0]]), torch.tensor([0])
rest = 1 - soft.softmax(1)[0, 0].item()
whole = distill.distillation_loss(student, soft, None, temperature=1, alpha=1)
parts = distill.decoupled_loss(student, soft, label, temperature=1, target_weight=1, others_weight=rest)
assert abs(whole - parts) < 1e-6

# %% [markdown] tags=["deeper"]
# *Relational* distillation forgets the classes altogether. Two images should lie as far apart for the student as for
# the teacher, and three images should form the same angle. It never compares an answer with an answer.

# %% tags=["deeper"]
def decoupled(student, teacher, labels):
    return by_labels(student, teacher, labels) + distill.decoupled_loss(student, teacher, labels, temperature=4)

def relational(student, teacher, labels):
    distances, angles = distill.distance_loss(student, teacher), distill.angle_loss(student, teacher)
    return by_labels(student, teacher, labels) + 2 * distances + 4 * angles

# %% tags=["deeper"]
apart, related = teach(decoupled), teach(relational)
show(decoupled=apart, relations=related)
assert gain(apart).low > 0
assert gain(apart).value > gain(related).value

# %% [markdown] tags=["deeper"]
# **What we saw.** Decoupled answers help about as much as plain ones; one run cannot tell the two apart. Relations
# help less, and one run on 1,000 images can hardly tell that from nothing. They never name a class.

# %% [markdown] tags=["deeper"] minutes=15
# ## 4 Does the teacher have to know anything?
#
# A teacher that knows nothing gives every class the same share. At T = 1 its lesson is an old trick, label smoothing:
# the label gets a little less than 1, every other class a little more than 0. The two losses differ by a constant.

# %% tags=["deeper"]
generator = torch.Generator().manual_seed(0)
logits, targets = torch.randn(50, 10, generator=generator), torch.randint(10, (50,), generator=generator)
nobody = distill.KnowsNothing(10)(torch.zeros(50, 1, 28, 28))
lesson = distill.distillation_loss(logits, nobody, targets, temperature=1, alpha=0.1)
smoothed = functional.cross_entropy(logits, targets, label_smoothing=0.1)
assert abs(lesson + 0.1 * torch.tensor(10.0).log() - smoothed) < 1e-6

# %% tags=["deeper"]
def by_nobody(student, teacher, labels):
    return distill.distillation_loss(student, teacher, labels, temperature=1, alpha=0.1)

# %% tags=["deeper"]
smooth = teach(by_nobody, teacher=distill.KnowsNothing(10))
show(taught_by_nobody=smooth, taught_by_teacher=plain)
assert gain(plain).value > gain(smooth).value

# %% [markdown] tags=["deeper"]
# **What we saw.** Soft labels help even when nobody stands behind them. So a fair test of a teacher has two baselines:
# hard labels, and a teacher that knows nothing. The real teacher beats both: it matters *which* wrong classes get a
# share.

# %% [markdown] tags=["deeper"] minutes=20
# ## 5 Do more teachers help, or more steps?
#
# Three ideas. An *ensemble*: several networks teach together. An *assistant*: a student of middle size learns from the
# teacher, then teaches the tiny one. *Generations*: a student as large as its teacher becomes the next teacher.
#
# The lesson of an ensemble is the mean of the softened answers, not of the logits. Here two of three teachers prefer
# the second class, and the third is very sure of the first:

# %% tags=["deeper"]
sure, other = torch.tensor([[9.0, 0.0]]), torch.tensor([[0.0, 2.0]])
votes = (sure.softmax(1) + 2 * other.softmax(1)) / 3
mean = distill.mean_answers([sure, other, other], temperature=1)
distill.soften(mean, 1)

# %% tags=["deeper"]
assert torch.allclose(distill.soften(mean, 1), votes)
assert votes.argmax() == 1
assert (sure + 2 * other).argmax() == 0

# %% [markdown] tags=["deeper"]
# All was trained beforehand, on the digits of section 1. The networks of the ensemble are as large as their student,
# 2 x 300 units, and so are all generations. The tiny student has 2 x 10 units, and the large teacher of section 1.
# Students of one and of several teachers share batches and initial weights; generations and the teachers of an ensemble
# do not.

# %% tags=["deeper"]
at = {curve.family: curve.values.T for curve in search.load_curves("chains")}
together, students, generations = (at[name] for name in ("the teachers together", "their student", "generations"))

# %% tags=["deeper"]
compared = {
    "five together, not one": (together[2], together[0]),
    "student of two, not of one": (students[1], students[0]),
    "student of five, not of one": (students[2], students[0]),
    "generation 1, not labels only": (generations[1], generations[0]),
    "generation 4, not 1": (generations[4], generations[1]),
}

# %% tags=["deeper"]
for sweep, t in (("chains", 4), ("assistants", 2)):
    at = {curve.family: curve for curve in search.load_curves(sweep)}
    by_itself, straight = (at[name].values[:, 0] for name in ("labels only", "straight from the teacher"))
    assert not metrics.measure_seed_gain("teacher, not labels only", straight, by_itself).clear
    through = at["through an assistant"]
    for units, values in zip(through.x, through.values.T, strict=True):
        compared[f"assistant, 2 x {units} units, T = {t}"] = (values, straight)

# %% tags=["deeper"]
gains = [metrics.measure_seed_gain(name, *pair) for name, pair in compared.items()]
view = plots.SeedGains(search.sweep_date("chains"))
view.update(gains)
view

# %% tags=["deeper"]
assert all(each.clear and each.interval.low > 0 for each in gains[:3])
assert not any(each.clear for each in gains[3:])

# %% tags=["deeper"]
kept = gains[2].interval.value / gains[0].interval.value
hidden = max(each.interval.high for each in gains[3:])

# %% tags=["deeper"]
print(f"The student keeps {text.percent(kept, 0)} of what the ensemble gains.")
print(f"Where nothing is clear, at most {text.points(hidden)} could hide.")
assert 0.3 < kept < 0.7

# %% [markdown] tags=["deeper"]
# **What we saw.** Five networks together clearly beat one. Their student, a single network, keeps about half of that,
# and it costs no more than any of them once it is trained. The bill of training has five teachers on it.
#
# Neither generations nor assistants bring a significant gain here: every interval holds 0. That is not the same as "no
# gain": the second line says how large a gain could still hide. The papers saw gains with deep networks on harder
# images. These networks are shallow, and the tiny one learns too little from its teacher: against labels only, that
# interval holds 0 as well.

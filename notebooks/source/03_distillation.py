# %% [markdown] tags=["core"] slideshow={"slide_type": "slide"}
# # 3 Distillation: what can a small network learn from a large one?
#
# A large network, the teacher, is trained and never changed again. A small network, the student, learns from the
# teacher's answers, besides the labels. Only the student is used afterwards.
#
# **You are here:** chapter 3 of 7. Time: 90 minutes with the exercises. You need chapter 0.
#
# ```mermaid
# flowchart LR
#   accTitle: distillation
#   A[teacher] --> B[soft targets]
#   B --> C[student]
#   D[hard labels] --> C
# ```
#
# *Distillation: the student is trained on two things at once. The teacher gives soft targets, a share for every class;
# the data set gives hard labels, one class an image.*

# %% tags=["setup"]
import torch
from torch.nn import functional

from labcore import data, distill, metrics, models, plots, runtime, search, text, training
from labcore.lesson import checks, claims, progress, quiz
from labcore.results import DistillationBill
from labcore.widgets import explorers

def pick(name, family, label=""):
    return next(c for c in search.load_curves(name) if c.family == family and label in c.label)

# %% [markdown] tags=["core"] slideshow={"slide_type": "slide"} minutes=15
# ## 1 What does the teacher know besides the answer?
#
# The teacher is `lab_resnet`, trained on garments. Its last layer gives a number for each class, the logit $z_i$. The
# temperature $T$ divides the logits before the softmax:
#
# $$p_i(T) = \frac{e^{z_i/T}}{\sum_j e^{z_j/T}}$$
#
# The first image is the sneaker that comes nearest to an ankle boot. Raise the temperature. Which classes grow?

# %% tags=["core"]
garments, teacher = data.load_dataset("fashion14"), models.load_model("lab_resnet")
explorers.dark_knowledge(teacher, garments, ("sneaker", "ankle boot"))

# %% [markdown] tags=["core"]
# **What we saw.** A label names one class. The teacher also says which other classes look alike: *dark knowledge*. Of
# a sure answer it is hidden at T = 1, because the other shares are almost 0. A high temperature makes them large enough
# to learn from; a very high one makes all classes alike.
#
# **Exercise 3.1** Each row holds the logits of an image. Give the shares of the classes at a temperature.

# %% tags=["exercise"]
# Exercise 3.1: softmax with a temperature
def soft_targets(logits, temperature):
    # BEGIN SOLUTION
    return (logits / temperature).softmax(dim=1)
    # END SOLUTION

# %% tags=["check"]
checks.check("3.1", soft_targets)

# %% [markdown] tags=["core"] slideshow={"slide_type": "slide"} minutes=20
# ## 2 How do labels and teacher share the work?
#
# The loss has two terms. One compares the student with the label, the other with the teacher, both softened:
#
# $$L = (1-\alpha)\,\mathrm{CE}(y, p_s) + \alpha\, T^2\, \mathrm{KL}\big(p_t(T)\,\|\,p_s(T)\big)$$
#
# Here $\alpha$ belongs to the teacher; some libraries give it to the labels. Take away the factor $T^2$ and watch the
# gradient. Which of the two still teaches?

# %% tags=["core"]
explorers.distillation_loss()

# %% tags=["core"]
student, soft = torch.tensor([[1.0, 2.0, 0.0, 0.5]]), torch.tensor([[4.0, 2.5, 1.0, -3.0]])
p_student, p_teacher = (student / 4).softmax(1), (soft / 4).softmax(1)
divergence = (p_teacher * (p_teacher / p_student).log()).sum()
by_hand = 0.1 * -student.softmax(1)[0, 0].log() + 0.9 * 4**2 * divergence
library = distill.distillation_loss(student, soft, torch.tensor([0]), temperature=4, alpha=0.9)
assert abs(by_hand - library) < 1e-5

# %% [markdown] tags=["core"]
# **Does the factor hold on a real network?** A narrow network is asked the same 500 images as its teacher. How long is
# the gradient of the soft term at T = 4 and at T = 8, with the factor and without it?

# %% tags=["reveal"]
alone, (images, labels) = models.load_model("lab_cnn", width=8), next(iter(garments.batches(500, split="train")))
with torch.inference_mode():
    logits = alone(images), teacher(images)
at_4, at_8 = (distill.loss_terms(*logits, labels, temperature=t, alpha=0.9) for t in (4, 8))
claims.holds("31a", at_4.soft_norm / at_8.soft_norm)
quiz.reveal(claims.holds("31b", at_8.soft_norm_without_factor / at_4.soft_norm_without_factor))

# %% [markdown] tags=["core"]
# **What we saw.** Dividing the logits makes the gradient smaller twice: once by the softer shares, once by the chain
# rule. Without $T^2$ a higher temperature would quietly hand the work to the labels.
#
# **Exercise 3.2** alpha times the soft term plus 1 - alpha times the cross-entropy with the labels. The soft term is
# T^2 times the divergence of the student's shares from the teacher's, summed over classes, mean over images.

# %% tags=["exercise"]
# Exercise 3.2: the loss of distillation
def distillation_loss(student, teacher, labels, temperature, alpha):
    # BEGIN SOLUTION
    soft_student = functional.log_softmax(student / temperature, dim=1)
    soft_teacher = functional.softmax(teacher / temperature, dim=1)
    soft = functional.kl_div(soft_student, soft_teacher, reduction="batchmean")
    hard = functional.cross_entropy(student, labels)
    return alpha * temperature**2 * soft + (1 - alpha) * hard
    # END SOLUTION

# %% tags=["check"]
checks.check("3.2", distillation_loss)

# %% [markdown] tags=["core"] slideshow={"slide_type": "slide"} minutes=15
# ## 3 Is the taught student better than the same student alone?
#
# A fair baseline has the same student, the same images, the same number of epochs, the same seeds; only the teacher is
# missing. The student is `lab_cnn` with half the width: fifteen times fewer parameters than the teacher. First, teach
# one live: the teacher answers every training image once, then it is no longer needed.

# %% tags=["core"]
before = distill.fingerprint(teacher)
outputs = distill.cache_teacher(teacher, garments.batches(500, split="train"))
config, batches = training.TrainConfig(epochs=8, learning_rate=4e-3), garments.batches(64, split="train", seed=0)
small = models.make_model("lab_cnn", width=8, seed=0)
taught = distill.distill(small, outputs, batches, config, temperature=4, alpha=0.9)
mine, hard = (training.evaluate(net, garments.batches()) for net in (taught.model, alone))
print("taught", text.approx(text.percent(mine.accuracy)), "alone", text.approx(text.percent(hard.accuracy)))

# %% tags=["core"]
explorers.students(teacher, garments)

# %% tags=["reveal"]
large = "student, 2 x 300 units"
hard_only, by_t = (pick("temperature", large, label) for label in ("labels only", "distilled"))
at = dict(zip(by_t.x.tolist(), by_t.mean.tolist(), strict=True))
claims.holds("28b", abs(at[8] - at[20]))
claims.holds("28a", at[20] - hard_only.mean[0])
points = {point.family: point for point in search.load_sweep("students") if point.label.endswith(garments.name)}
best = points["lab_resnet, the teacher"].mean
lost = {how: best - points[f"lab_cnn, {how}"].mean for how in ("labels only", "distilled")}
quiz.reveal(claims.does_not_reproduce("54", lost["distilled"]))

# %% [markdown] tags=["core"]
# **What we saw.** On digits, with 1,000 labels, the taught student is clearly better, and from T = 8 on the temperature
# hardly matters. On garments, with ten times as many labels, the student alone is as good: most cells of the grid
# cannot be told from it. The softest answers even harm so small a student. A lone cell that looks like a gain proves
# nothing: among so many, chance gives one or two. A baseline trained with less care would have hidden all this.
#
# **Exercise 3.3** `baseline` holds the accuracies of the student alone, one a seed, by its epochs of training;
# `distilled` those of the distilled student, same seeds, trained for `epochs`. Give the mean gain and its sample
# standard deviation, seed by seed.

# %% tags=["exercise"]
# Exercise 3.3: a fair comparison
def gain(baseline, distilled, epochs):
    # BEGIN SOLUTION
    gains = distilled - baseline[epochs]
    return gains.mean(), gains.std()
    # END SOLUTION

# %% tags=["check"]
checks.check("3.3", gain)

# %% [markdown] tags=["core"] slideshow={"slide_type": "slide"} minutes=12
# ## 4 What if there are few labels?
#
# Now 1,000 digits, and a teacher of two layers with 600 units. The student has half the units and only some of the
# labels. Three ways to train it, with equally many updates: the labels alone; the same images with the teacher's
# answers; and besides, all other images, for which there is no label but the teacher's answer.
#
# One thing must be said: **the teacher had seen all 1,000 labels.** Somebody paid for them.

# %% tags=["core"]
explorers.few_labels()

# %% tags=["reveal"]
ways = {curve.family: curve.mean for curve in search.load_curves("few_labels")}
gaps = {way: mean - ways["labels only"] for way, mean in ways.items()}
quiz.reveal(claims.holds("55", gaps["and images without labels"][0]))

# %% [markdown] tags=["core"]
# **What we saw.** The fewer the labels, the more the teacher is worth. Most of the gain comes from images without
# labels: the teacher's answer stands in for the label that nobody gave. With all labels both ways are alike, and a
# small gain stays. Nothing was made from nothing: the labels are in the teacher.

# %% [markdown] tags=["core"] slideshow={"slide_type": "slide"} minutes=18
# ## 5 Can a student know what it never saw?
#
# The teacher knows ten digits. Its student gets no 3: no image of a 3 and no label 3. It only hears what the teacher
# says of the other digits. Then we show it real threes.

# %% tags=["core"]
quiz.ask_prediction("3.digit_nobody_showed")

# %% tags=["core"]
digits = data.load_dataset("mnist5k-few")
explorers.unseen_digit(digits)

# %% tags=["reveal"]
threes = {t: pick("unseen_digit", f"T = {t}", "the missing").mean for t in (1, 2, 4, 8, 20)}
measured = {f"temperature_{t}": threes[t][0] for t in (1, 20)}
quiz.reveal(claims.holds("30a", threes[20][0]), question="3.digit_nobody_showed", measured=measured)

# %% tags=["reveal"]
control = pick("unseen_digit", "labels only", "the missing").mean
claims.holds("30c", control.max())
answers = {name: torch.from_numpy(z).float() for name, z in search.load_arrays("unseen_digit").items()}
best_bias = distill.fit_bias(answers["T = 20"][:2000], digits.test_labels[:2000], 3).bias
moved = distill.measure_bias(answers["T = 20"][2000:], digits.test_labels[2000:], 3, best_bias)
quiz.reveal(claims.holds("30b", moved.recall))

# %% [markdown] tags=["core"]
# **What we saw.** The student knows the 3 from what the teacher says of the 5, the 8 and the 2: how much each of them
# looks like a 3. At T = 1 these shares are almost 0. The student still gives the 3 too rarely, as a 3 was never the
# first choice in its training. A bias on that one logit corrects this; too much of it takes other digits for a 3.
# Without the teacher the student learned one thing about the 3: never say it.
#
# **Exercise 3.4** `validation` and `test` are dicts with "logits" and "labels". Choose from the candidates the bias for
# the logit of the missing class that gives the best accuracy on the validation images. Give the bias and its accuracy
# on the test images.

# %% tags=["exercise"]
# Exercise 3.4: the bias of the missing class
def choose_bias(validation, test, missing, candidates):
    # BEGIN SOLUTION
    def accuracy(images, bias):
        moved = images["logits"].clone()
        moved[:, missing] += bias
        return (moved.argmax(dim=1) == images["labels"]).float().mean()
    best = max(candidates, key=lambda bias: accuracy(validation, bias))
    return best, accuracy(test, best)
    # END SOLUTION

# %% tags=["check"]
checks.check("3.4", choose_bias)

# %% [markdown] tags=["core"] slideshow={"slide_type": "slide"} minutes=10
# ## 6 Who pays for the teacher?
#
# The student is small and its training short. What must be added before one says what it cost? Here is the whole bill
# of the student that you taught above, in MACs: training counts forward and backward.

# %% tags=["core"]
shipped = next(entry for name, entry in runtime.read_manifest().items() if name.startswith("lab_resnet"))
recipe, n_train = shipped["recipe"]["config"], len(garments.train_images)
school = distill.bill_training(
    "teacher: training", teacher, images[:1], n_images=recipe["epochs"] * n_train, seconds=0
)
bill = DistillationBill((school, *taught.costs))
for item in bill.items:
    print(f"{item.what}: {text.count(item.macs / 1e9)} GMAC, {text.percent(item.macs / bill.macs)}")
claims.verdict("S31", {"bill": school.macs / bill.macs})

# %% [markdown] tags=["core"]
# **Exercise 3.5** `teacher` and `student` are dicts with "macs" (forward, one image) and "epochs". An image costs three
# times its forward MACs in training. The teacher's logits are stored once, before the student trains. Give all MACs
# together.

# %% tags=["exercise"]
# Exercise 3.5: the bill
def bill_of(teacher, student, images):
    # BEGIN SOLUTION
    training = sum(3 * network["macs"] * network["epochs"] for network in (teacher, student))
    return images * (training + teacher["macs"])
    # END SOLUTION

# %% tags=["check"]
checks.check("3.5", bill_of)

# %% [markdown] tags=["core"]
# **My point on the course's chart, and who pays.** The student that you taught stands beside the line of plainly
# narrower networks, which had no teacher. Below, it is compared with the same network alone, image by image.

# %% tags=["core"]
widths = [point for point in search.load_sweep("widths") if "lab_mobile" not in point.family]
chart = plots.AccuracyAgainstCost(widths, floor=progress.floor(), date=search.sweep_date("widths"))
chart.update(search.make_point("mine", "width 8, distilled", taught.model, garments.test_images[:1], mine))
chart

# %% tags=["core"]
who = plots.WhoPays(garments.class_names, garments.test_images.numpy())
who.update((metrics.measure_changes(hard, mine), mine))
who

# %% [markdown] tags=["core"]
# **What the course text says, and what you measured.**

# %% tags=["core"]
reference, truth = training.predict(teacher, garments.batches())

def distance(net):
    logits = training.predict(net, garments.batches())[0]
    return distill.loss_terms(logits, reference, truth, temperature=4, alpha=1).soft

claims.verdict("S24", {"answers": distance(taught.model) / distance(alone)})
claims.verdict("S25", {"unseen": threes[20][0]})
few, all_labels = gaps["the same images and the teacher"][[0, -1]]
claims.verdict("S26", {"few": few, "all": all_labels, "large_set": lost["labels only"] - lost["distilled"]})
with_factor = at_4.soft_norm / at_8.soft_norm
claims.verdict("S27", {"with_factor": with_factor, "without": 16 * with_factor / 4})

# %% tags=["core"]
of_teacher = pick("temperature", "teacher, 2 x 600 units").mean[0]
claims.verdict("S28", {"large": of_teacher - at[20], "small": lost["distilled"]})
changed = float(distill.fingerprint(teacher) != before)
claims.verdict("S29", {"frozen": changed, "deployed": metrics.cost_ratios(taught.model, teacher, images[:1])[1]})
with_teacher, no_teacher, few_of_all = (
    {part: pick("new_classes", way, part).mean[0] for part in ("all digits", "the two new")}
    for way in ("the teacher of 0 to 7, no labels of them", "all labels of 0 to 7", "as few labels of every digit")
)
transfer = {"transfer": with_teacher["all digits"] - no_teacher["all digits"]}
transfer["new_alone"] = with_teacher["the two new"] - few_of_all["the two new"]
claims.verdict("S30", {"few_labels": few} | transfer)
claims.summary(3)

"""On 1,000 digits: teachers together, generations, assistants (`chains`), also at a low temperature (`assistants`)."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from torch import nn

from labcore import distill
from labcore.data import Batches
from labcore.models import make_mlp
from labcore.recipes.curves import stack_seeds
from labcore.recipes.distillation import ALPHA, BATCH, RECIPE, STUDENT_CONFIG, digits, teach, train_teacher
from labcore.results import Curve
from labcore.search import save_sweep
from labcore.training import evaluate, fit

__all__ = ["make_assistants", "make_chains", "run_assistants", "run_ensembles", "run_generations", "train_peers"]

# As in the chapter; and for the tiny student the one that served it in the sweep `temperature` as well.
TEMPERATURE, LOW = 4, 2
WIDTH, TINY = 300, 10
N_TEACHERS = (1, 2, 5)
ASSISTANTS = (30, 100, 300)
N_GENERATIONS = 4
SEEDS = range(8)


def _batches(seed: int) -> Batches:
    return digits().batches(BATCH, split="train", seed=seed)


def _accuracy(model: nn.Module) -> float:
    return evaluate(model, digits().batches()).accuracy


def _initial(seed: int, number: int) -> int:
    """Seeds that no two networks of the recipe share."""
    return 100 * (seed + 1) + number


def train_peers(seed: int, n: int = max(N_TEACHERS)) -> list[nn.Module]:
    """Networks of the student's own size, taught by labels alone."""
    peers = []
    for number in range(n):
        peer = make_mlp(WIDTH, seed=_initial(seed, number))
        fit(peer, _batches(_initial(seed, number)), replace(STUDENT_CONFIG, seed=seed))
        peers.append(peer.eval())
    return peers


def run_ensembles(
    peers: Sequence[nn.Module], *, seed: int, counts: Sequence[int] = N_TEACHERS
) -> list[list[float]]:
    """For each of `counts` the accuracy of the first so many peers together; then of a student of each of them."""
    together = [distill.Ensemble(peers[:n], temperature=TEMPERATURE) for n in counts]
    students = [
        teach(
            distill.cache_teacher(each, digits().batches(split="train")), _batches(seed), width=WIDTH,
            temperature=TEMPERATURE, alpha=ALPHA, seed=_initial(seed, 10),
        )
        for each in together
    ]  # fmt: skip
    return [[_accuracy(each) for each in models] for models in (together, students)]


def run_generations(first: nn.Module, *, seed: int, n: int = N_GENERATIONS) -> list[float]:
    """Accuracy of a network of labels alone, then of each generation after it."""
    students = [make_mlp(WIDTH, seed=_initial(seed, 10 + number)) for number in range(n)]
    return [_accuracy(model) for model in (first, *_chain(first, students, seed))]


def run_assistants(
    outputs: distill.TeacherOutputs, temperature: float, *, seed: int, widths: Sequence[int] = ASSISTANTS
) -> list[list[float]]:
    """Accuracies of a tiny student: of labels alone; straight from the teacher; through an assistant of each width."""
    tiny = make_mlp(TINY, seed=_initial(seed, 20))
    alone = teach(outputs, _batches(seed), width=TINY, temperature=1, alpha=0, seed=_initial(seed, 20))
    ways = [[tiny], *([make_mlp(width, seed=_initial(seed, 30)), tiny] for width in widths)]
    straight, *through = (_accuracy(_chain(outputs, students, seed, temperature)[-1]) for students in ways)
    return [[_accuracy(alone)], [straight], through]


def _chain(
    teacher: nn.Module | distill.TeacherOutputs, students: list[nn.Module], seed: int, temperature: float = TEMPERATURE
) -> list[nn.Module]:
    config = replace(STUDENT_CONFIG, seed=seed)
    chain = distill.distill_chain(teacher, students, _batches(seed), config, temperature=temperature, alpha=ALPHA)
    return [each.model for each in chain]


def _outputs(seed: int) -> distill.TeacherOutputs:
    """Of the large teacher."""
    return distill.cache_teacher(train_teacher(seed), digits().batches(split="train"))


# What `run_assistants` gives: families and their axes.
_ASSISTED = [("labels only", [TINY]), ("straight from the teacher", [TINY]), ("through an assistant", ASSISTANTS)]


def make_chains() -> dict[str, tuple[bytes, dict]]:
    """The curves by file name; seed by seed, a student shares its initial weights with the one it is compared with."""

    def run(seed: int) -> list[list[float]]:
        peers = train_peers(seed)
        return [
            *run_ensembles(peers, seed=seed), run_generations(peers[0], seed=seed),
            *run_assistants(_outputs(seed), TEMPERATURE, seed=seed),
        ]  # fmt: skip

    rows = [
        ("the teachers together", "ensemble", N_TEACHERS), ("their student", "ensemble", N_TEACHERS),
        ("generations", "generations", range(N_GENERATIONS + 1)),
        *((family, "assistant", x) for family, x in _ASSISTED),
    ]  # fmt: skip
    return {"chains.json": (_sweep(rows, run), _facts(TEMPERATURE))}


def make_assistants() -> dict[str, tuple[bytes, dict]]:
    """The same assistants at the temperature that served a tiny student in the sweep `temperature`."""

    def run(seed: int) -> list[list[float]]:
        return run_assistants(_outputs(seed), LOW, seed=seed)

    rows = [(family, "assistant", x) for family, x in _ASSISTED]
    return {"assistants.json": (_sweep(rows, run), _facts(LOW))}


def _sweep(rows: Sequence[tuple[str, str, Sequence[int]]], run: Callable[[int], list[list[float]]]) -> bytes:
    """Curves of (family, label, axis), in the order in which ``run(seed)`` gives their values."""
    measured = zip(rows, stack_seeds(run, SEEDS), strict=True)
    return save_sweep([Curve(family, label, np.array(x), values, {}) for (family, label, x), values in measured])


def _facts(temperature: float) -> dict:
    return {"seeds": len(SEEDS), "recipe": RECIPE, "temperature": temperature, "width": WIDTH, "tiny": TINY}

"""Exercises of chapter 1 on structure: whole filters and what knows them, schedules, and 2 of every 4 weights."""

import torch

from labcore.lesson.exercises import Exercise, Mistake

__all__ = ["EXERCISES"]


# --- 1.4: rank filters ---

RANK_FILTERS = Exercise(
    "1.4",
    "L1 score of each filter; each row is a filter",
    ("filters",),
    (
        (torch.tensor([[3.0, -3.0], [1.0, 1.0], [0.5, -2.0]]),),
        (torch.tensor([[1.0, -2.0, 0.5], [-0.25, 0.75, -4.0], [2.0, 2.0, -1.0]]),),
        (torch.tensor([[-1.0, 0.5, 0.25, -0.5], [3.0, -1.0, 1.0, 0.5]]),),
    ),
    lambda filters: filters.abs().sum(1),
    {
        "rank.signs_cancel": Mistake(
            lambda filters: filters.sum(1),
            "You added the weights with their signs, so they cancel.",
            "The first filter holds 3 and -3. Does it do nothing?",
        ),
        "rank.wrong_axis": Mistake(
            lambda filters: filters.abs().sum(0),
            "You added down the columns: a score for each place in a filter.",
            "How many filters are there, and how many scores did you give?",
        ),
    },
    (
        "A filter with large weights of both signs does a lot. What must happen to the signs?",
        "The L1 score of a filter is the sum of the magnitudes of its weights.",
        "Take the magnitudes and sum along each row: one number a row.",
    ),
)


# --- 1.5: what a removed filter takes out of the next layer ---


def _columns_kept(weight, gone):
    kept = torch.ones(weight.shape[1], dtype=torch.bool)
    kept[gone] = False
    return weight[:, kept]


def _without_map(weight, map_index, map_size):
    return _columns_kept(weight, slice(map_index * map_size, (map_index + 1) * map_size))


def _numbered(rows, columns):
    """Each weight tells its row (the hundreds) and its column."""
    return 100.0 * torch.arange(rows)[:, None] + torch.arange(columns)


SMALLER_LINEAR = Exercise(
    "1.5",
    "weight of a linear layer after one map of the layer before is gone; the columns of a map stand together",
    ("weight", "map_index", "map_size"),
    ((_numbered(2, 16), 1, 4), (_numbered(3, 18), 2, 6), (_numbered(2, 20), 3, 4)),
    _without_map,
    {
        "surgery.one_column": Mistake(
            lambda weight, map_index, map_size: _columns_kept(weight, map_index),
            "You removed one column for the map.",
            "How many numbers does a map of 2 by 2 become when it is flattened?",
        ),
        "surgery.every_nth_column": Mistake(
            lambda weight, map_index, map_size: _columns_kept(
                weight, slice(map_index, None, weight.shape[1] // map_size)
            ),
            "You removed as many columns as a map has values, but took them from all maps.",
            "Flattening writes one map after the other. Which columns come from map 1?",
        ),
    },
    (
        "Write down what each column multiplies: first all values of map 0, then all values of map 1.",
        "A map owns map_size columns next to each other.",
        "Map i owns the columns from i x map_size up to, not including, (i + 1) x map_size. Join what is left of them "
        "with what is right of them.",
    ),
)


# --- 1.6: sparsity of a gradual schedule ---


def _progress(step, start, end):
    return min((step - start) / (end - start), 1)


def _agp(step, start, end, initial, final):
    return _agp_without_end(min(step, end), start, end, initial, final)


def _agp_without_end(step, start, end, initial, final):
    return final + (initial - final) * (1 - (step - start) / (end - start)) ** 3


AGP = Exercise(
    "1.6",
    "sparsity of the AGP schedule at a step; from the end on it stays",
    ("step", "start", "end", "initial", "final"),
    ((5, 0, 10, 0.0, 0.9), (12, 0, 10, 0.0, 0.9), (20, 10, 50, 0.2, 0.8), (70, 10, 50, 0.2, 0.8)),
    _agp,
    {
        "schedule.linear": Mistake(
            lambda step, start, end, initial, final: initial + (final - initial) * _progress(step, start, end),
            "You let the sparsity rise by the same amount at every step.",
            "When does a network lose weights with the least harm: while many are left, or near the end?",
        ),
        "schedule.upside_down": Mistake(
            lambda step, start, end, initial, final: initial + (final - initial) * _progress(step, start, end) ** 3,
            "You turned the curve upside down: it starts slowly and ends fast.",
            "AGP removes much early and little late. After half of the steps, is more or less than half removed?",
        ),
        "schedule.past_the_end": Mistake(
            _agp_without_end,
            "You let the curve run on past its end.",
            "At step 12 of 10, how many weights are still to be removed?",
        ),
    },
    (
        "Ask what is left to do: at the start all of the way from initial to final, at the end nothing.",
        "The part of the time that is left is 1 - (step - start) / (end - start), and never below 0.",
        "The distance from final is (initial - final) times the cube of the part of the time that is left.",
    ),
)


# --- 1.7: two of every four ---


def _two_of_four(weights):
    return _largest_half(weights.reshape(-1, 4)).reshape(weights.shape)


def _largest_half(rows):
    """Mask of the larger half of every row."""
    largest = rows.abs().topk(rows.shape[1] // 2).indices
    return torch.zeros(rows.shape).scatter(1, largest, 1)


_MIXED = [[0.9, -0.1, 0.2, 0.8, -0.3, 0.4, 0.05, -0.6], [0.15, 0.7, -1.1, 0.25, 1.2, -0.35, 0.45, 0.5]]

TWO_OF_FOUR = Exercise(
    "1.7",
    "2:4 mask of a matrix, in groups of 4 along its inputs; each row is an output",
    ("weights",),
    (
        (torch.tensor([[4.0, 1.0, -3.0, 2.0], [0.1, 0.2, -0.3, 0.4]]),),
        (torch.tensor(_MIXED),),
        (torch.tensor([[5.0, 6.0, -7.0, 8.0], [1.0, -2.0, 4.0, 3.0], [-9.0, 0.5, 0.1, 2.5], [0.6, 0.7, -0.8, 0.9]]),),
    ),
    _two_of_four,
    {
        "groups.ranked_over_all": Mistake(
            lambda weights: _largest_half(weights.reshape(1, -1)).reshape(weights.shape),
            "You ranked all weights of the matrix together.",
            "How many weights must stay in each group of 4?",
        ),
        "groups.along_outputs": Mistake(
            lambda weights: _two_of_four(weights.T).T,
            "You made the groups along the outputs.",
            "An output is a sum over its row. Which 4 weights stand next to each other in this sum?",
        ),
    },
    (
        "Cut each row into groups of 4. Every group is judged alone.",
        "In each group the two largest magnitudes stay.",
        "Reshape to rows of 4, mark the two largest magnitudes of each, and reshape back.",
    ),
)


# --- 1.8: a filter out of everything that knows it ---

_STATISTICS = ("batch_norm.running_mean", "batch_norm.running_var")
_BATCH_NORM = ("batch_norm.weight", "batch_norm.bias", *_STATISTICS)


def _without_filter(tensors, filter_index, map_size, left_whole=()):
    def smaller(name, tensor):
        if name in left_whole:
            return tensor
        if name == "linear.weight":
            return _without_map(tensor, filter_index, map_size)
        return torch.cat([tensor[:filter_index], tensor[filter_index + 1 :]])

    return {name: smaller(name, tensor) for name, tensor in tensors.items()}


def _block(n_filters, kernel, map_size, n_classes):
    """A convolution, its batch norm and the linear layer behind them; every number is another one."""
    shapes = {
        "convolution.weight": (n_filters, 1, kernel, kernel),
        **dict.fromkeys(_BATCH_NORM, (n_filters,)),
        "linear.weight": (n_classes, n_filters * map_size),
    }
    sizes = [torch.Size(shape).numel() for shape in shapes.values()]
    values = (0.25 * torch.arange(1.0, sum(sizes) + 1)).split(sizes)
    return {name: value.reshape(shape) for (name, shape), value in zip(shapes.items(), values, strict=True)}


WITHOUT_FILTER = Exercise(
    "1.8",
    "tensors of a convolution, its batch norm and the linear layer behind them, after one filter is gone",
    ("tensors", "filter_index", "map_size"),
    ((_block(4, 2, 4, 2), 1, 4), (_block(3, 3, 2, 5), 2, 2), (_block(5, 1, 3, 3), 0, 3)),
    _without_filter,
    {
        "surgery.batch_norm_not_cut": Mistake(
            lambda tensors, filter_index, map_size: _without_filter(tensors, filter_index, map_size, _BATCH_NORM),
            "You left the batch norm as it was: it still expects the map of the filter that is gone.",
            "The batch norm keeps four numbers for each map. Which of them belong to a map that no longer exists?",
        ),
        "surgery.running_statistics_not_cut": Mistake(
            lambda tensors, filter_index, map_size: _without_filter(tensors, filter_index, map_size, _STATISTICS),
            "You cut what the batch norm learns, but not what it measures: its running mean and variance.",
            "Which numbers does a batch norm keep for each map that no gradient ever changes?",
        ),
    },
    (
        "Go through the names one by one. Which tensors hold something for each filter, and along which axis?",
        "All but the linear weight have one entry a filter along axis 0. The linear weight owns map_size columns a "
        "filter.",
        "Drop entry filter_index along axis 0 of every tensor that is not linear.weight, and treat linear.weight as in "
        "exercise 1.5. Give a dict with the same names.",
    ),
)

EXERCISES = (RANK_FILTERS, SMALLER_LINEAR, AGP, TWO_OF_FOUR, WITHOUT_FILTER)

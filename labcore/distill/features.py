"""Losses between features: hints, attention, and how samples lie to each other."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from labcore import runtime
from labcore.distill.checks import check_features

__all__ = ["Hint", "angle_loss", "attention_loss", "attention_map", "distance_loss"]


class Hint(nn.Module):
    """Mean squared distance of the teacher's features and a 1x1 convolution of the student's (FitNets).

    L = mean (r(F_s) - F_t)². The convolution r, with bias, gives the student's channels as many as the teacher's has;
    it is trained with the student and thrown away.

    Args:
        student_channels, teacher_channels: of the two layers.
        seed: of the first weights of r.

    Source: A. Romero et al., FitNets: hints for thin deep nets, arXiv 1412.6550, equation 3 (convolutional regressor).
    """

    def __init__(self, student_channels: int, teacher_channels: int, *, seed: int = 0):
        super().__init__()
        with runtime.fork_rng(seed):
            self.regressor = nn.Conv2d(student_channels, teacher_channels, 1)

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Features of shape (N, C, H, W), the same N, H and W. Raises ValueError otherwise."""
        check_features(student, teacher, dims=4)
        channels = self.regressor.in_channels, self.regressor.out_channels
        if (student.shape[1], teacher.shape[1]) != channels or student.shape[2:] != teacher.shape[2:]:
            raise ValueError(
                f"this hint joins {channels[0]} to {channels[1]} channels of equal height and width, got student "
                f"{tuple(student.shape)} and teacher {tuple(teacher.shape)}; choose layers of equal height and width"
            )
        return F.mse_loss(self.regressor(student), teacher.detach())


def attention_map(features: Tensor) -> Tensor:
    """Where a layer looks: mean of F² over channels, flattened, of length 1 for each sample; zeros stay zeros.

    Args:
        features: shape (N, C, H, W).

    Returns:
        shape (N, H * W).

    Source: S. Zagoruyko, N. Komodakis, Paying more attention to attention, arXiv 1612.03928, section 3.1 (p = 2).
    """
    return _unit(features.square().mean(1).flatten(1))


def attention_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean squared difference of the two attention maps: mean (Q_s - Q_t)².

    The larger map is averaged down to the smaller one. The paper sums Euclidean distances; its authors' code, followed
    here and by most libraries, takes this mean, which goes with a weight of about 1,000.

    Args:
        student, teacher: features of shape (N, C, H, W) of the same samples; channels may differ.

    Raises:
        ValueError: other shapes; NaN or infinity.

    Source: see `attention_map`, equation 2.
    """
    check_features(student, teacher, dims=4)
    size = [min(sides) for sides in zip(student.shape[2:], teacher.shape[2:], strict=True)]
    maps = [attention_map(F.adaptive_avg_pool2d(each, size)) for each in (student, teacher.detach())]
    return F.mse_loss(*maps)


def distance_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Samples should lie as far apart as for the teacher: smooth L1 of the pairwise distances, mean over N² pairs.

    Distances are divided by their mean over pairs of different samples. When all samples coincide they are 0.

    Args:
        student, teacher: features or logits of the same samples, shape (N, features), N at least 2; the numbers of
            features may differ.

    Raises:
        ValueError: a batch of one (it has no pair), other shapes, NaN or infinity.

    Source: W. Park et al., Relational knowledge distillation, arXiv 1904.05068, equations 5 to 7 (weight 25).
    """
    _check_relations(student, teacher, at_least=2, relation="pair")
    return F.smooth_l1_loss(_distances(student), _distances(teacher.detach()))


def angle_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Three samples should form the teacher's angle: smooth L1 of the cosines at each corner, mean over N³ triples.

    Args:
        student, teacher: as for `distance_loss`, N at least 3.

    Raises:
        ValueError: a batch of fewer than three (it has no angle), other shapes, NaN or infinity.

    Source: see `distance_loss`, equations 8 to 10 (weight 50).
    """
    _check_relations(student, teacher, at_least=3, relation="angle")
    return F.smooth_l1_loss(_cosines(student), _cosines(teacher.detach()))


def _check_relations(student: Tensor, teacher: Tensor, *, at_least: int, relation: str) -> None:
    check_features(student, teacher, dims=2)
    if len(student) < at_least:
        raise ValueError(
            f"a batch of {len(student)} has no {relation}: need at least {at_least} samples; choose a batch size that "
            "leaves no smaller last batch"
        )


def _distances(features: Tensor) -> Tensor:
    # Not through a product of matrices: it loses small distances. Its gradient at distance 0 is 0, not NaN.
    distances = torch.cdist(features, features, compute_mode="donot_use_mm_for_euclid_dist")
    mean = distances.sum() / (len(features) * (len(features) - 1))
    return distances / torch.where(mean > 0, mean, 1)


def _cosines(features: Tensor) -> Tensor:
    towards = _unit(features[None] - features[:, None])
    return towards @ towards.transpose(1, 2)


def _unit(vectors: Tensor) -> Tensor:
    """Vectors of length 1 along the last axis; zeros stay zeros and have finite gradients."""
    lengths = torch.linalg.vector_norm(vectors, dim=-1, keepdim=True)
    return vectors / torch.where(lengths > 0, lengths, 1)

"""Small networks, one for each way in which channels hang together, and naive references for cutting them."""

import copy
from collections.abc import Callable, Iterable, Mapping

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from labcore.surgery import CouplingSet


class Net(nn.Module):
    """Layers by name and a forward function over them."""

    def __init__(self, forward: Callable[..., Tensor], **layers: nn.Module):
        super().__init__()
        self.body = forward
        for name, layer in layers.items():
            self.add_module(name, layer)

    def forward(self, x: Tensor) -> Tensor:
        return self.body(self, x)


def conv(c_in: int, c_out: int, kernel: int = 3, **settings: object) -> nn.Conv2d:
    return nn.Conv2d(c_in, c_out, kernel, padding=kernel // 2, **settings)


def bn(n: int) -> nn.BatchNorm2d:
    """Batch norm as after some training: nothing is 0 or 1."""
    layer = nn.BatchNorm2d(n)
    for tensor in (layer.weight.data, layer.bias.data, layer.running_mean, layer.running_var):
        tensor.uniform_(0.3, 2.0)
    return layer


def _residual(net, x):
    x = F.relu(net.stem_bn(net.stem(x)))
    x = F.relu(net.second(F.relu(net.first(x))) + x)
    return net.fc(F.adaptive_avg_pool2d(x, 1).flatten(1))


def _concat(net, x):
    x = net.stem(x)
    x = torch.cat([net.left(x).relu(), x, net.right(x)], 1)
    return net.fc(F.relu(net.norm(x)).mean((2, 3)))


def _concat_in_space(net, x):
    x = torch.cat((net.left(x), net.right(x).tanh()), dim=-1)
    return net.fc(F.relu(x).amax((2, 3)))


def _flatten(net, x):
    x = F.max_pool2d(torch.relu(net.first(x)), 2)
    return net.fc2(F.relu(net.fc1(x.view(x.size(0), -1))))


def _depthwise(net, x):
    x = F.relu6(net.norm(net.depthwise(net.stem(x))))
    return net.fc(net.multiplied(net.pointwise(x)).mean([-2, -1]))


def _chain(net, x):
    return net.fc(net.last(F.silu(net.middle(torch.tanh(net.first(x))))).amax((2, 3)))


def _squeeze_excite(net, x):
    x = F.hardswish(net.stem(x))
    scale = net.up(F.relu(net.down(F.adaptive_avg_pool2d(x, 1)))).sigmoid()
    return net.fc((scale * x).mean((2, 3)))


def _squeeze_excite_linear(net, x):
    x = net.stem(x)
    b, c, _, _ = x.size()
    scale = net.up(net.down(x.mean((2, 3))).relu()).sigmoid()
    return net.fc((x * scale.view(b, c, 1, 1).expand_as(x)).flatten(2).sum(-1))


def _classifier(net, x):
    x = net.norm(F.leaky_relu(net.first(x), 0.1))
    return torch.flatten(net.pool(F.relu(net.classifier(x))), 1)


def _tokens(net, x):
    x = net.patches(x).flatten(2).transpose(1, 2)
    x = x + net.down(F.gelu(net.up(net.norm(x))))
    return net.fc(x[:, 0])


def _twice(net, x):
    x = net.stem(x)
    return net.fc(net.shared(net.shared(x).relu()).mean((2, 3)))


def _neurons(net, x):
    return net.fc3(net.fc2(net.norm(net.fc1(x.flatten(1)))).relu())


TOPOLOGIES: dict[str, Callable[[], nn.Module]] = {
    "residual": lambda: Net(
        _residual, stem=conv(3, 6), stem_bn=bn(6), first=conv(6, 5), second=conv(5, 6), fc=nn.Linear(6, 4)
    ),
    "concat": lambda: Net(
        _concat, stem=conv(3, 4), left=conv(4, 5), right=conv(4, 3, 1), norm=bn(12), fc=nn.Linear(12, 4)
    ),
    "concat in space": lambda: Net(_concat_in_space, left=conv(3, 6), right=conv(3, 6, 1), fc=nn.Linear(6, 4)),
    "flatten": lambda: Net(_flatten, first=conv(3, 5), fc1=nn.Linear(80, 6), fc2=nn.Linear(6, 4)),
    "depthwise": lambda: Net(
        _depthwise,
        stem=conv(3, 6), depthwise=conv(6, 6, groups=6), norm=bn(6),
        pointwise=conv(6, 4, 1), multiplied=conv(4, 8, groups=4), fc=nn.Linear(8, 4),
    ),
    "grouped": lambda: Net(
        _chain, first=conv(3, 12), middle=conv(12, 8, groups=4), last=conv(8, 6, groups=2), fc=nn.Linear(6, 4)
    ),
    "transposed": lambda: Net(
        _chain,
        first=nn.ConvTranspose2d(3, 6, 2, 2), middle=nn.ConvTranspose2d(6, 8, 3, groups=2),
        last=nn.ConvTranspose2d(8, 16, 2, groups=8), fc=nn.Linear(16, 4),
    ),
    "squeeze-excite": lambda: Net(
        _squeeze_excite, stem=conv(3, 6), down=conv(6, 3, 1), up=conv(3, 6, 1), fc=nn.Linear(6, 4)
    ),
    "squeeze-excite with linear layers": lambda: Net(
        _squeeze_excite_linear, stem=conv(3, 6), down=nn.Linear(6, 3), up=nn.Linear(3, 6), fc=nn.Linear(6, 4)
    ),
    "convolutional classifier": lambda: Net(
        _classifier, first=conv(3, 6), norm=bn(6), classifier=conv(6, 4, 1), pool=nn.AdaptiveAvgPool2d(1)
    ),
    "tokens": lambda: Net(
        _tokens, patches=nn.Conv2d(3, 6, 2, 2), norm=nn.LayerNorm(6),
        up=nn.Linear(6, 9), down=nn.Linear(9, 6), fc=nn.Linear(6, 4),
    ),
    "a layer used twice": lambda: Net(_twice, stem=conv(3, 6), shared=conv(6, 6), fc=nn.Linear(6, 4)),
    "neurons": lambda: Net(
        _neurons, fc1=nn.Linear(192, 6), norm=nn.PReLU(6), fc2=nn.Linear(6, 5), fc3=nn.Linear(5, 4)
    ),
}  # fmt: skip

SAMPLE = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))


def make(name: str) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return TOPOLOGIES[name]().eval()


def some_of_each(couplings: Iterable[CouplingSet], seed: int = 0) -> dict[str, np.ndarray]:
    """About half of the channels of every set, at random, never all."""
    generator = np.random.default_rng(seed)
    return {each.name: generator.permutation(each.n_channels)[: (each.n_channels + 1) // 2] for each in couplings}


def without_reading(model: nn.Module, couplings: Iterable[CouplingSet], gone: Mapping[str, Iterable[int]]) -> nn.Module:
    """Naive reference: a copy of full size whose layers receive zeros in the place of channels that are gone."""
    model = copy.deepcopy(model)
    for each in couplings:
        for member in each.members:
            if member.role == "in":
                layer = model.get_submodule(member.layer)
                axis = -1 if isinstance(layer, nn.Linear) else 1
                silent = torch.from_numpy(member.indices[gone[each.name]].ravel())
                layer.register_forward_pre_hook(
                    lambda _, args, axis=axis, silent=silent: args[0].index_fill(axis, silent, 0.0)
                )
    return model


@torch.no_grad()
def with_dead(model: nn.Module, couplings: Iterable[CouplingSet], gone: Mapping[str, Iterable[int]]) -> nn.Module:
    """A copy of full size whose channels make nothing but zeros: weights, biases, and all of batch norm."""
    model = copy.deepcopy(model)
    for each in couplings:
        for member in each.members:
            layer, dead = model.get_submodule(member.layer), member.indices[gone[each.name]].ravel()
            if member.role == "in":
                continue
            for name in ("weight", "bias", "running_mean"):
                tensor = getattr(layer, name, None)
                if tensor is not None and name == "weight" and getattr(layer, "transposed", False):
                    per_group = layer.out_channels // layer.groups
                    groups = tensor.unflatten(0, (layer.groups, -1))
                    groups[dead // per_group, :, dead % per_group] = 0
                elif tensor is not None:
                    tensor[dead] = 0
    return model


def relative_error(got: Tensor, expected: Tensor) -> float:
    assert expected.abs().max() > 0
    return float((got - expected).abs().max() / expected.abs().max())

"""Real networks: without channels that are dead they compute what they did."""

import pytest
import torch
from torch import nn
from torchvision.models import VisionTransformer

from labcore.models import make_model
from labcore.surgery import UnsupportedOperation, find_couplings, remove_channels, trace
from networks import LAB_SHAPES, TORCHVISION, make_torchvision
from topologies import relative_error, some_of_each, with_dead

REFUSED = "shufflenet_v2_x1_0"
MORE = ("resnext50_32x4d", "regnet_y_400mf", "convnext_tiny", "vision_transformer")


def _make(name: str) -> tuple[nn.Module, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    if name in LAB_SHAPES:
        return make_model(name), torch.rand(2, *LAB_SHAPES[name], generator=generator)
    images = torch.rand(2, 3, 64, 64, generator=generator)
    if name == "vision_transformer":
        small = {"num_layers": 2, "num_heads": 2, "hidden_dim": 32, "mlp_dim": 64}
        return VisionTransformer(image_size=64, patch_size=16, **small), images
    return make_torchvision(name), images


@torch.no_grad()
def _wake_(model: nn.Module, images: torch.Tensor) -> None:
    """Statistics of batch norm that fit its inputs, scales that do not vanish: then every channel can be felt."""
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.momentum = 1.0
    for name, parameter in model.named_parameters():
        if name.endswith(("layer_scale", "head.weight")):
            parameter.uniform_(0.5, 1.0)
    model.train()(images)
    model.eval()


@pytest.mark.slow
@pytest.mark.case("P-residual", "P-flatten/concat/convT", "P-bias/BN")
@pytest.mark.parametrize("name", [*LAB_SHAPES, *(each for each in TORCHVISION if each != REFUSED), *MORE])
def test_dead_channels_can_go(name):
    model, images = _make(name)
    _wake_(model, images)
    couplings = find_couplings(trace(model, images[:1]))
    gone = some_of_each(couplings)
    smaller = remove_channels(model, couplings, gone)
    with torch.inference_mode():
        got, full = smaller(images), model(images)
        assert relative_error(got, with_dead(model, couplings, gone)(images)) < 1e-5
    assert relative_error(got, full) > 0.01, "the channels that went must matter, or the test sees nothing"
    assert got.shape == full.shape


def test_a_channel_shuffle_is_refused_by_name():
    model, images = _make(REFUSED)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(UnsupportedOperation, match=r"'view' \(node 'view' in 'stage2\.0'\)"):
        find_couplings(trace(model, images))
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert model.training

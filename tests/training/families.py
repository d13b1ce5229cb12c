"""One small member of each major timm family, random weights, tiny inputs."""

from __future__ import annotations

import timm
import torch
from timm.models.vgg import VGG
from torch import nn

from transfer_core.training.models import new_head

FAMILIES = {
    "resnet": ("resnet18", {}, 32),
    "efficientnet": ("tf_efficientnet_lite0", {}, 32),
    "mobilenetv3": ("mobilenetv3_small_050", {}, 32),
    "mobilenetv4": ("mobilenetv4_conv_small_035", {}, 32),
    "convnext": ("convnext_atto", {}, 32),
    "vit": ("test_vit", {"img_size": 32}, 32),
    "deit": ("deit_tiny_distilled_patch16_224", {"img_size": 32, "depth": 3}, 32),
    "swin": ("swin_tiny_patch4_window7_224", {"img_size": 56, "depths": (1, 1, 1, 1), "embed_dim": 24,
                                              "num_heads": (1, 2, 2, 4)}, 56),
    "regnet": ("regnety_002", {}, 32),
    "densenet": ("densenet121", {"block_config": (2, 2, 2, 2)}, 32),
    "vgg": ("vgg", {"cfg": [8, "M", 16, "M", 16, "M"], "mlp_ratio": 0.01, "norm_layer": nn.BatchNorm2d}, 56),
    "mobilevit": ("mobilevit_xxs", {}, 64),
}


def make(family: str, **more) -> tuple[nn.Module, torch.Tensor]:
    name, arguments, side = FAMILIES[family]
    torch.manual_seed(0)
    # Every registered VGG ends in two layers of 4,096: 120 million parameters to move for a test.
    model = VGG(**arguments, **more) if name == "vgg" else timm.create_model(name, **arguments, **more)
    new_head(model, 3)
    return model, torch.randn(4, 3, side, side)

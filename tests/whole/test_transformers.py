"""Transformers, small: compiled = autograd at the image and at every layer, whose tokens are maps again."""

from functools import partial

import pytest
import torch
from torch import nn
from torchvision.models import SwinTransformer, VisionTransformer
from torchvision.models.maxvit import MaxVit
from torchvision.models.swin_transformer import PatchMergingV2, SwinTransformerBlockV2

from engine.compiler.capture import capture
from engine.compiler.passes import compile_program
from engine.listing.axes import as_map
from engine.listing.layers import choose_layers
from engine.pictures.geometry import Geometry
from engine.torchscript.lowering import lower
from tests.oracle import GATED, at_image, at_nodes, deviation

SIDE = 32
SWIN = {
    "patch_size": [2, 2],
    "embed_dim": 8,
    "depths": [2, 2],
    "num_heads": [2, 4],
    "window_size": [4, 4],
    "num_classes": 6,
}
NETWORKS = {
    "vit": partial(
        VisionTransformer, image_size=SIDE, patch_size=8, num_layers=2, num_heads=2, hidden_dim=16, mlp_dim=32,
        num_classes=6,
    ),
    "swin": partial(SwinTransformer, **SWIN),
    "swin_v2": partial(SwinTransformer, **SWIN, block=SwinTransformerBlockV2, downsample_layer=PatchMergingV2),
    "maxvit": partial(
        MaxVit, (SIDE, SIDE), stem_channels=8, partition_size=4, block_channels=[8, 16], block_layers=[1, 1],
        head_dim=4, stochastic_depth_prob=0.0, num_classes=6,
    ),
}  # fmt: skip


def network(name: str) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = NETWORKS[name]().eval()
        for parameter in module.parameters():  # some start at zero, where nothing would be proved
            nn.init.normal_(parameter, std=0.2)
    return module.double()


@pytest.mark.parametrize("layers", [pytest.param("trunk", marks=pytest.mark.sweep), "all"])
@pytest.mark.parametrize("name", NETWORKS)
def test_compiled_equals_autograd(name: str, layers: str) -> None:
    module = network(name)
    example = torch.zeros(1, 3, SIDE, SIDE, dtype=torch.float64)
    geometry = Geometry(SIDE, (SIDE, SIDE), "bilinear", (0.0,) * 3, (1.0,) * 3)
    scripted = lower(compile_program(module, example, layers), [""] * 6, geometry)
    forward = capture(module, example)
    chosen = choose_layers(forward, layers)
    assert len(chosen) > (4 if layers == "trunk" else 12)
    x = torch.randn(2, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    seed = torch.randn(2, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    for policy in GATED:
        with torch.no_grad():
            logits, primals, cotangents, image = scripted.probe(x, seed, policy)
        wanted_logits, wanted_image, _ = at_image(module, x, seed, policy)
        assert deviation(logits, wanted_logits) <= 1e-9
        assert deviation(image, wanted_image) <= 1e-9
        references = at_nodes(forward, [layer.node for layer in chosen], x, seed, policy)
        for found, wanted in zip((primals, cotangents), references, strict=True):
            for layer, value, reference in zip(chosen, found, wanted, strict=True):
                assert tuple(value.shape) == (2, *layer.shape)
                laid = reference if layer.axes is None else as_map(reference, layer.axes)
                if layers == "all" and not laid.any():
                    # The output of a ViT's last attention, of which the class token alone is read.
                    assert layer.name.endswith("scaled_dot_product_attention") and not value.any()
                else:
                    assert deviation(value, laid) <= 1e-9, layer.name


@pytest.mark.parametrize("name", ["vit", "swin", "maxvit"])
def test_a_token_lies_where_its_patch_is(name: str) -> None:
    """Change one patch of the image: in the first layers, only the cell over it changes most."""
    module = network(name)
    example = torch.zeros(1, 3, SIDE, SIDE, dtype=torch.float64)
    program = compile_program(module, example, "trunk", ["grad_cam"]).program
    x = torch.randn(1, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    moved = x.clone()
    moved[:, :, 8:16, 24:32] += 3
    for index, layer in enumerate(program.layers[:4]):
        before, after = (program.run([program.primals[index]], image=image)[0] for image in (x, moved))
        change = (after - before).abs().sum((0, 1))
        row, column = divmod(int(change.argmax()), layer.shape[2])
        assert 8 <= (row + 0.5) * SIDE / layer.shape[1] <= 16, layer.name
        assert 24 <= (column + 0.5) * SIDE / layer.shape[2] <= 32, layer.name


def test_a_vit_has_no_layer_behind_its_last_attention() -> None:
    """There the class token alone is read: a map of the other tokens would be zero for every class."""
    program = compile_program(network("vit"), torch.zeros(1, 3, SIDE, SIDE, dtype=torch.float64)).program
    names = [layer.name for layer in program.layers]
    assert names[-1] == "encoder.layers.encoder_layer_0"
    assert not any("encoder_layer_1" in name for name in names)

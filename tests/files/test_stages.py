"""Stages as a person would name them, of networks that torchvision and timm have."""

from typing import Any

import pytest
import timm
import torch
import torchvision.models
from torch import nn

from engine.compiler.capture import capture
from engine.files.manifest import cells
from engine.files.stages import of_interest, stages_of
from engine.listing.layers import choose_layers

# What a person expects: the first and the last layer of each part, by name.
EXPECTED: dict[tuple[str, int], list[tuple[str, str, str]]] = {
    ("resnet50", 64): [
        ("stem", "conv1", "maxpool"),
        ("stage 1", "layer1.0.add", "layer1.2"),
        ("stage 2", "layer2.0.add", "layer2.3"),
        ("stage 3", "layer3.0.add", "layer3.5"),
        ("stage 4", "layer4.0.add", "layer4.2"),
        ("head", "", ""),
    ],
    ("vgg16", 64): [
        ("stage 1", "features.0", "features.4"),
        ("stage 2", "features.5", "features.9"),
        ("stage 3", "features.10", "features.16"),
        ("stage 4", "features.17", "features.23"),
        ("stage 5", "features.24", "features.30"),
        ("head", "avgpool", "avgpool"),
    ],
    ("convnext_tiny", 64): [
        ("stem", "features.0.0", "features.0.1"),
        ("stage 1", "features.1.0", "features.1.2"),
        ("stage 2", "features.2.0", "features.3.2"),
        ("stage 3", "features.4.0", "features.5.8"),
        ("stage 4", "features.6.0", "features.7.2"),
        ("head", "", ""),
    ],
    ("timm/efficientnet_lite0", 64): [
        ("stem", "conv_stem", "bn1.act"),
        ("stage 1", "blocks.0.0.conv_dw", "blocks.0.0.bn2"),
        ("stage 2", "blocks.1.0.conv_pw", "blocks.1.1"),
        ("stage 3", "blocks.2.0.conv_pw", "blocks.2.1"),
        ("stage 4", "blocks.3.0.conv_pw", "blocks.4.2"),
        ("stage 5", "blocks.5.0.conv_pw", "blocks.6.0.bn3"),
        ("head", "conv_head", "bn2.act"),
    ],
    ("mobilenet_v2", 64): [
        ("stem", "features.0.0", "features.0.2"),
        ("stage 1", "features.1.conv.0.0", "features.1.conv.2"),
        ("stage 2", "features.2.conv.0.0", "features.3"),
        ("stage 3", "features.4.conv.0.0", "features.6"),
        ("stage 4", "features.7.conv.0.0", "features.13"),
        ("stage 5", "features.14.conv.0.0", "features.18.2"),
        ("head", "", ""),
    ],
    ("densenet121", 64): [
        ("stem", "features.conv0", "features.pool0"),
        ("stage 1", "features.denseblock1", "features.denseblock1"),
        ("stage 2", "features.transition1.norm", "features.denseblock2"),
        ("stage 3", "features.transition2.norm", "features.denseblock3"),
        ("stage 4", "features.transition3.norm", "relu"),
        ("head", "", ""),
    ],
    ("inception_v3", 107): [
        ("stem", "Conv2d_1a_3x3.conv", "maxpool1"),
        ("stage 1", "Conv2d_3b_1x1.conv", "maxpool2"),
        ("stage 2", "Mixed_5b", "Mixed_5d"),
        ("stage 3", "Mixed_6a", "Mixed_6e"),
        ("stage 4", "Mixed_7a", "Mixed_7c"),
        ("head", "", ""),
    ],
    ("googlenet", 64): [
        ("stem", "conv1.conv", "maxpool1"),
        ("stage 1", "conv2.conv", "maxpool2"),
        ("stage 2", "inception3a", "maxpool3"),
        ("stage 3", "inception4a", "maxpool4"),
        ("stage 4", "inception5a", "inception5b"),
        ("head", "", ""),
    ],
    ("squeezenet1_1", 64): [
        ("stem", "features.0", "features.2"),
        ("stage 1", "features.3.squeeze", "features.5"),
        ("stage 2", "features.6.squeeze", "features.8"),
        ("stage 3", "features.9.squeeze", "features.12"),
        ("head", "classifier.1", "classifier.2"),
    ],
    ("alexnet", 95): [
        ("stem", "features.0", "features.2"),
        ("stage 1", "features.3", "features.5"),
        ("stage 2", "features.6", "features.12"),
        ("head", "avgpool", "avgpool"),
    ],
    ("shufflenet_v2_x1_0", 64): [
        ("stem", "conv1.0", "maxpool"),
        ("stage 1", "stage2.0.cat", "stage2.3"),
        ("stage 2", "stage3.0.cat", "stage3.7"),
        ("stage 3", "stage4.0.cat", "conv5.2"),
        ("head", "", ""),
    ],
    ("regnet_y_400mf", 64): [
        ("stem", "stem.0", "stem.2"),
        ("stage 1", "trunk_output.block1.block1-0.add", "trunk_output.block1.block1-0.activation"),
        ("stage 2", "trunk_output.block2.block2-0.add", "trunk_output.block2.block2-2.activation"),
        ("stage 3", "trunk_output.block3.block3-0.add", "trunk_output.block3.block3-5.activation"),
        ("stage 4", "trunk_output.block4.block4-0.add", "trunk_output.block4.block4-5.activation"),
        ("head", "", ""),
    ],
    ("swin_t", 64): [
        ("stem", "features.0.0", "features.0.2"),
        ("stage 1", "features.1.0.add", "features.1.1"),
        ("stage 2", "features.2.pad", "features.3.1"),
        ("stage 3", "features.4.pad", "features.5.5"),
        ("stage 4", "features.6.pad", "permute"),
        ("head", "", ""),
    ],
    ("vit_b_16", 224): [
        ("stem", "conv_proj", "encoder.add"),
        ("stage 1", "encoder.layers.encoder_layer_0.add", "encoder.layers.encoder_layer_2"),
        ("stage 2", "encoder.layers.encoder_layer_3.add", "encoder.layers.encoder_layer_5"),
        ("stage 3", "encoder.layers.encoder_layer_6.add", "encoder.layers.encoder_layer_8"),
        ("stage 4", "encoder.layers.encoder_layer_9.add", "encoder.layers.encoder_layer_10"),
        ("head", "", ""),
    ],
    ("timm/mixer_s16_224", 224): [
        ("stem", "stem.proj", "stem"),
        ("stage 1", "blocks.0.add", "blocks.1"),
        ("stage 2", "blocks.2.add", "blocks.3"),
        ("stage 3", "blocks.4.add", "blocks.5"),
        ("stage 4", "blocks.6.add", "blocks.7"),
        ("head", "norm", "norm"),
    ],
}  # fmt: skip


def layers_of(name: str, side: int) -> list[dict[str, Any]]:
    """The trunk of a network of random weights, as a manifest has it."""
    options = {"init_weights": False} if name in ("inception_v3", "googlenet") else {}
    made = (
        timm.create_model(name[5:]) if name.startswith("timm/") else getattr(torchvision.models, name)(**options)
    )
    with torch.no_grad():
        program = capture(made.eval(), torch.zeros(1, 3, side, side))
    return [
        {"name": layer.name, "aliases": list(layer.aliases), "shape": list(layer.shape)}
        | cells(layer.shape, (side, side))
        for layer in choose_layers(program, "trunk")
    ]


@pytest.mark.parametrize(("network", "wanted"), EXPECTED.items(), ids=[name for name, _ in EXPECTED])
def test_the_stages_of_a_network_are_those_that_a_person_names(
    network: tuple[str, int], wanted: list[tuple[str, str, str]]
) -> None:
    layers = layers_of(*network)
    stages = stages_of(layers)
    ends = [
        (s.name, layers[s.first]["name"], layers[s.stop - 1]["name"]) if s.first < s.stop else (s.name, "", "")
        for s in stages
    ]
    assert ends == wanted
    assert [s.first for s in stages] == [0, *(s.stop for s in stages)][: len(stages)]
    assert stages[-1].stop == len(layers)
    kept = of_interest(layers)
    for stage in stages:
        assert stage.first == stage.stop or any(kept[stage.first : stage.stop]), f"nothing to see of {stage.name}"
        for module in stage.modules:
            of_module = [i for i, layer in enumerate(layers) if f"{layer['name']}.".startswith(f"{module}.")]
            assert all(stage.first <= i < stage.stop for i in of_module)
    # The last layer of every block that a network's designer numbered stays in sight.
    for index, layer in enumerate(layers):
        ended = [name for name in (layer["name"], *layer["aliases"]) if any(is_in(o, name) for o in layers)]
        assert kept[index] or not ended


def is_in(layer: dict[str, Any], module: str) -> bool:
    return str(layer["name"]).startswith(f"{module}.")


def entries(*rows: tuple[str, list[int]], aliases: dict[str, list[str]] | None = None) -> list[dict[str, Any]]:
    return [
        {"name": name, "aliases": (aliases or {}).get(name, []), "shape": shape} | cells(shape, (32, 32))
        for name, shape in rows
    ]


def folded(layers: list[dict[str, Any]]) -> list[str]:
    return [layer["name"] for layer, kept in zip(layers, of_interest(layers), strict=True) if not kept]


def test_what_only_pads_or_scales_its_neighbour_is_folded_away() -> None:
    four, padded = [4, 16, 16], [4, 18, 18]
    names = [
        "conv",
        "bn1",
        "pad",
        "norm",
        "drop_path1",
        "identity",
        "dropout",
        "ln_2",
        "abnormal_conv_pair",
        "act",
    ]
    layers = entries(*((name, padded if name == "pad" else four) for name in names))
    assert folded(layers) == ["bn1", "pad", "norm", "drop_path1", "identity", "dropout", "ln_2"]


def test_the_end_of_a_block_is_seen_whatever_it_is_called() -> None:
    """A block that ends in a BatchNorm, as those of MobileNet do."""
    four, eight = [4, 16, 16], [8, 16, 16]
    layers = entries(
        ("block.0.conv", four), ("block.0.mix", eight), ("block.0.bn", eight), ("act", eight),
        aliases={"block.0.bn": ["block.0", "block"]},
    )  # fmt: skip
    assert folded(layers) == []
    assert folded(entries(("block.0.conv", four), ("block.0.bn", eight), ("block.0.mix", eight))) == ["block.0.bn"]


def test_a_sum_goes_where_its_activation_follows_and_stays_where_it_ends_the_block() -> None:
    four = [4, 16, 16]
    layers = entries(("b.0.add", four), ("b.0", four), ("b.1.add", four), ("b.1", four), ("b.2", four))
    assert folded(layers) == ["b.0.add", "b.1.add"]


def test_a_unit_of_convolution_norm_and_activation_is_one_thing_to_see() -> None:
    four, eight = [4, 16, 16], [8, 16, 16]
    unit = [("0.0", eight), ("0.1", eight), ("0.2", eight)]
    ends = {"0.2": ["0"]}
    assert folded(entries(("stem", four), *unit, ("x", four), aliases=ends)) == ["0.0", "0.1"]
    blocks = entries(("stem", eight), *unit, ("x", four), aliases=ends)  # a row of residual blocks
    assert folded(blocks) == []


def test_layers_of_one_pixel_are_the_head_and_an_upsampling_begins_a_stage() -> None:
    layers = entries(
        ("down", [4, 16, 16]), ("low.0", [8, 4, 4]), ("low.1", [8, 4, 4]), ("up.0", [4, 16, 16]),
        ("up.1", [4, 16, 16]), ("squeeze", [4, 1, 1]), ("after", [9, 1, 1]),
    )  # fmt: skip
    assert [(s.name, s.first, s.stop) for s in stages_of(layers)] == [
        ("stem", 0, 1), ("stage 1", 1, 3), ("stage 2", 3, 5), ("head", 5, 7)
    ]  # fmt: skip
    assert stages_of(layers)[1].modules == ("low",)


def test_a_convolution_without_padding_begins_no_stage() -> None:
    layers = entries(("a", [4, 16, 16]), ("b", [4, 14, 14]), ("c", [4, 12, 12]), ("d", [8, 6, 6]))
    assert [(s.name, s.first, s.stop) for s in stages_of(layers)] == [
        ("stem", 0, 3), ("stage 1", 3, 4), ("head", 4, 4)
    ]  # fmt: skip


def test_networks_of_nearly_nothing() -> None:
    assert stages_of([]) == [] and of_interest([]) == []
    (stage, head) = stages_of(entries(("only", [4, 32, 32])))
    assert (stage.name, stage.first, stage.stop, stage.modules) == ("stage 1", 0, 1, ("only",))
    assert (head.name, head.first, head.stop) == ("head", 1, 1)
    assert of_interest(entries(("only.norm", [4, 32, 32]))) == [True]
    with torch.no_grad():
        net = nn.Sequential(
            *(nn.Conv2d(3, 3, 3, padding=1) for _ in range(5)), nn.AdaptiveAvgPool2d(1), nn.Flatten()
        )
        program = capture(net.eval(), torch.zeros(1, 3, 8, 8))
    layers = [{"name": x.name, "aliases": [], "shape": list(x.shape)} for x in choose_layers(program, "trunk")]
    assert [s.name for s in stages_of(layers)][-1] == "head"
    assert sum(s.stop - s.first for s in stages_of(layers)) == len(layers)


def test_a_pad_before_all_else_belongs_to_the_stem() -> None:
    """TensorFlow's networks pad by hand: the page's own default would begin with a stage of one pad."""
    shapes = [("conv.pad", [3, 65, 65]), ("conv", [8, 32, 32]), ("act", [8, 32, 32]), ("blocks.0", [16, 16, 16])]
    layers = [{"name": name, "aliases": [], "shape": shape} | cells(shape, (64, 64)) for name, shape in shapes]
    padded, plain = stages_of(layers), stages_of(layers[1:])
    assert [part.name for part in padded] == [part.name for part in plain] == ["stem", "stage 1", "head"]
    assert [(part.first, part.stop) for part in padded] == [(0, 3), (3, 4), (4, 4)]

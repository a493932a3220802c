"""What is refused, and how it reads."""

import re

import pytest
import torch
from torch import nn

from engine.compiler.capture import CaptureError
from engine.compiler.passes import compile_program
from engine.errors import CompileError
from tests.compiler.test_capture import EXAMPLE, Net, Step, images


def message_of(network, example=EXAMPLE, error=CaptureError):
    with pytest.raises(error) as raised:
        compile_program(network, example)
    return str(raised.value)


@pytest.mark.parametrize("network", [Net(), Step(lambda i: i.mean((2, 3)))], ids=["BatchNorm", "nothing"])
def test_training_mode_is_refused(network):
    """Whatever is inside: GoogLeNet, for one, returns something else while it is trained."""
    text = message_of(network.train())
    assert "the module is in training mode" in text and ".eval()" in text


def test_a_batch_norm_in_training_mode_is_refused_by_name():
    network = Net().eval()
    network.bn.train()
    text = message_of(network)
    assert "BatchNorm at bn " in text and "training mode" in text and ".eval()" in text


def test_a_batch_norm_deep_inside_is_refused_by_its_whole_name():
    network = Net().eval()
    network.conv = nn.Sequential(nn.Conv2d(3, 6, 3), nn.Sequential(nn.BatchNorm2d(6).train()))
    assert "BatchNorm at conv.1.0 " in message_of(network)


def test_a_batch_norm_without_statistics_is_refused():
    network = Net().eval()
    network.bn = nn.BatchNorm2d(6, track_running_stats=False).eval()
    assert "BatchNorm at bn " in message_of(network)


def test_dropout_in_training_mode_is_refused_by_name():
    network = Net().eval()
    network.drop.train()
    text = message_of(network, error=(CaptureError, CompileError))
    assert re.search(r"dropout.*\bdrop\b", text)


class Looking(nn.Module):
    """A forward pass that asks what is in the photo."""

    def forward(self, image):
        return image.mean((2, 3)) if image.sum() > 0 else image.amax((2, 3))


def test_control_flow_that_depends_on_pixels_is_refused():
    text = message_of(Looking().eval())
    assert text.startswith("torch.export cannot take Looking (test_refusals.py, line ")
    assert "depends on pixel values" in text
    assert "torch.where" in text
    assert "\n" not in text and len(text) < 600


@pytest.mark.parametrize(
    ("step", "shape"),
    [(lambda i: i.mean(), r"\[\]"), (lambda i: i.mean(0), r"\[3, 8, 8\]"), (lambda i: i.mT.flatten(0, 1), "")],
    ids=["one number for all", "a mean image", "rows for images"],
)
def test_what_has_no_answer_for_each_image_is_refused(step, shape):
    text = message_of(Step(step).eval(), error=(CaptureError, CompileError))
    assert re.search(rf"the module returns .*{shape}.*, where the first axis is not that of the images, N", text)


def test_numbers_without_a_gradient_are_refused():
    text = message_of(Step(lambda i: i.mean((2, 3)).argmax(1)).eval())
    assert "[N] of torch.int64, which has no gradient" in text


def test_a_network_with_two_inputs_is_refused():
    class Two(nn.Module):
        def forward(self, image, mask):
            return (image * mask).mean((2, 3))

    assert message_of(Two().eval()).startswith("Two.forward takes mask beside the image: ")


def test_a_network_that_fixes_its_batch_is_refused():
    message_of(Step(lambda i: i.view(2, -1)).eval())


def test_a_wrong_number_of_channels_is_refused_with_the_reason():
    assert "channels" in message_of(Net().eval(), torch.zeros(1, 4, 8, 8))


def test_a_network_that_ignores_its_image_is_refused():
    message_of(Step(lambda i: torch.ones(1, 3).expand(i.shape[0], 3)).eval(), error=(CaptureError, CompileError))


@pytest.mark.parametrize(
    "step",
    [
        lambda i: i.double().relu().float().mean((2, 3)),
        lambda i: i.relu().argmax(1).float().mean(2),
        lambda i: i.relu().to(torch.bfloat16).mean((2, 3)),
    ],
    ids=["round trip", "argmax", "bfloat16"],
)
def test_a_cast_is_differentiated_or_refused(step):
    """Never a KeyError: export puts a node without a value before each cast."""
    network = Step(step).eval()
    try:
        program = compile_program(network, EXAMPLE).program
    except (CaptureError, CompileError):
        return
    (found,) = program.run([program.logits], image=images(2))
    torch.testing.assert_close(found, network(images(2)))

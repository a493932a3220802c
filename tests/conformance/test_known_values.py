"""What other tools answer on a network that is done on paper, number by number, where they are wrong."""

import pytest
import torch

from engine import compile_model
from tests.conformance.peers import Case, ours, reference, theirs
from tests.conformance.test_agreement import needs
from tests.oracle import deviation
from tests.whole.test_reference import SEED, Small, X

CENTRED = [[0, 0], [11.839155, 23.257648]]  # what is below zero is cut
UNCENTRED = [[0, 3.823511], [31.394798, 42.641581]]
UNDIVIDED = [[0, 16], [130, 175]]
DIVIDED = [[0, 16 / 77], [124 / 77 + 6 / 23, 160 / 77 + 15 / 23]]


@pytest.mark.parametrize(
    ("tool", "method", "wrong", "right"),
    [("grad-cam", "eigen_cam", CENTRED, UNCENTRED), ("torchcam", "grad_cam_plus_plus", UNDIVIDED, DIVIDED)],
)
def test_maps_at_the_relu(tool: str, method: str, wrong: list[list[float]], right: list[list[float]]) -> None:
    needs(tool)
    case = Case("on paper", tool, method, "relu")
    assert theirs(case)[0].tolist() == [pytest.approx(row, abs=1e-5) for row in wrong]
    for found in (ours(case), reference(case)):
        assert found[0].tolist() == [pytest.approx(row, abs=1e-5) for row in right]


def test_captums_trapezoid_weighs_less_than_one() -> None:
    """At 50 steps the parts make up 51.48 of 54, and of a network that is linear .98 of the score."""
    needs("captum")
    from captum.attr import IntegratedGradients

    case = Case("on paper", "captum", "integrated_gradients", usage="50 steps, trapezoid")
    assert float(theirs(case)[0].sum()) - 54 == pytest.approx(-2.52, abs=1e-5)
    assert float(ours(case)[0].sum()) - 54 == pytest.approx(-0.18, abs=1e-9)
    linear, x = (
        torch.nn.Linear(3, 1, bias=False).double().requires_grad_(False),
        torch.ones(1, 3, dtype=torch.float64),
    )
    for steps in (10, 50):
        asked = IntegratedGradients(linear).attribute(x, method="riemann_trapezoid", n_steps=steps)
        assert float(asked.sum() / linear(x)) == pytest.approx((steps - 1) / steps, abs=1e-6)


def test_grad_cam_writes_a_large_number_for_none_where_a_layer_has_no_zero() -> None:
    needs("grad-cam")
    from pytorch_grad_cam.ablation_layer import AblationLayer

    # The minimum is that of the batch, where the first map is replaced already.
    value = torch.tensor([[[[0.5, 2.0]], [[3.0, 4.0]]]])
    layer = AblationLayer()
    layer.activations_to_be_ablated(value[0].numpy())
    layer.set_next_batch(0, value, 2)
    assert layer(value)[[0, 1], [0, 1], 0].tolist() == [[-1e7] * 2, [-2e7] * 2]
    case = Case("ReLU whose input is shared", "grad-cam", "ablation_cam", "first")
    assert float(theirs(case).max()) > 1e6 * float(reference(case).max())
    assert deviation(ours(case), reference(case)) < 1e-9


def test_grad_cam_scales_each_channel_of_a_full_gradient_by_itself() -> None:
    """The paper's code brings a layer's channels to 0..1 together: what adds 50 weighs less than what adds 75."""
    needs("grad-cam")
    from pytorch_grad_cam import FullGrad
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    image = torch.tensor([[0, 1, 2, 3], [0, 5, 6, 7], [0, 9, 10, 11], [0, 0, 0, 0.0]]) / 11

    def scaled(*channels: list[list[float]]) -> torch.Tensor:
        larger = torch.nn.functional.interpolate(torch.tensor([[*channels]]), (4, 4), mode="bilinear")
        return (image + larger[0].sum(0)).double()

    together = scaled([[0, 2 / 3], [2 / 3, 2 / 3]], [[0.0, 0.0], [1.0, 1.0]])
    apart = scaled([[0.0, 1.0], [1.0, 1.0]], [[0.0, 0.0], [1.0, 1.0]])
    network = Small().eval()
    with FullGrad(network, [network.conv]) as asked:
        found = torch.from_numpy(asked(X.float(), [ClassifierOutputTarget(0)]))[0].double()
    assert deviation(found, apart / apart.max()) < 1e-6
    ours = compile_model(Small().double().eval(), X, methods=["full_grad"]).module.explain(
        X, SEED, "full_grad", -1
    )
    assert deviation(ours[0], together) < 1e-6
    assert deviation(found, together / together.max()) > 0.05

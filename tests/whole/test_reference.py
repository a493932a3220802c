"""A network small enough for paper: the table of known values, and the identities that tie methods together."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torchvision.models import resnet18

from engine.files.artifact import Explainer
from engine.files.compiling import compile_model
from engine.methods.readings import eigen_cam, grad_cam_plus_plus, xgrad_cam
from tests.oracle import deviation, randomise


class Small(nn.Module):
    """conv 1->2 (weights 1, bias -50, -75), ReLU, flatten, linear 8->4 (1 for inputs 0..4, else -1), ReLU."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 3)
        self.relu = nn.ReLU()
        self.linear = nn.Linear(8, 4)
        nn.init.ones_(self.conv.weight)
        nn.init.zeros_(self.linear.bias)
        with torch.no_grad():
            self.conv.bias.copy_(torch.tensor([-50.0, -75.0]))
            self.linear.weight.copy_(torch.tensor([1.0] * 5 + [-1.0] * 3).expand(4, 8))

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.linear(self.relu(self.conv(x)).flatten(1)))


X = torch.arange(16, dtype=torch.float64).reshape(1, 1, 4, 4)
SEED = torch.tensor([[1.0, 0, 0, 0]], dtype=torch.float64)
GUIDED = [[0, 1, 1, 1], [1, 3, 3, 2], [1, 3, 3, 2], [1, 2, 2, 1]]


@pytest.fixture(scope="module")
def small() -> Explainer:
    return compile_model(Small().double().eval(), X)


def test_logits_and_primals(small: Explainer) -> None:
    logits, primals, _, _ = small.probe(X, SEED, "gradient")
    assert small.layers == ["conv", "relu"]
    assert logits.tolist() == [[54.0] * 4]
    assert primals[0][0].tolist() == [[[-5, 4], [31, 40]], [[-30, -21], [6, 15]]]


@pytest.mark.parametrize(
    ("method", "wanted"),
    [
        ("gradient", [[0, 1, 1, 1], [0, 1, 1, 1], [0, 1, 1, 1], [0, 0, 0, 0]]),
        ("guided_backprop", GUIDED),
        ("deconvnet", [[2, 3, 3, 1], [3, 5, 5, 2], [3, 5, 5, 2], [1, 2, 2, 1]]),
        ("input_x_gradient", [[0, 1, 2, 3], [0, 5, 6, 7], [0, 9, 10, 11], [0, 0, 0, 0]]),
    ],
)
def test_image_methods(small: Explainer, method: str, wanted: list[list[float]]) -> None:
    assert small.explain(X, SEED, method)[0, 0].tolist() == wanted


def test_saliency_is_unsigned(small: Explainer) -> None:
    negated = small.explain(X, -SEED, "saliency")
    assert negated[0].tolist() == small.explain(X, SEED, "gradient")[0, 0].abs().tolist()


def raw_grad_cam(primal: Tensor, ct: Tensor) -> np.ndarray:
    weights = ct.numpy().mean(axis=(2, 3), keepdims=True)
    return np.maximum((weights * primal.numpy()).sum(axis=1), 0)[0]


def test_grad_cam_at_each_layer(small: Explainer) -> None:
    _, primals, cotangents, _ = small.probe(X, SEED, "gradient")
    assert raw_grad_cam(primals[1], cotangents[1]).tolist() == [[0, 4], [28, 32.5]]
    assert raw_grad_cam(primals[0], cotangents[0]).tolist() == [[11.25, 13.5], [20.25, 22.5]]


def test_guided_grad_cam_is_bilinear_times_guided(small: Explainer) -> None:
    wanted = [
        [0, 1, 3, 4],
        [7, 24.09375, 30.28125, 22.25],
        [21, 66.28125, 72.84375, 50.75],
        [28, 58.25, 62.75, 32.5],
    ]
    assert small.explain(X, SEED, "guided_grad_cam", "relu")[0, 0].tolist() == wanted
    nearest = [[0, 0, 4, 4], [0, 0, 12, 8], [28, 84, 97.5, 65], [28, 56, 65, 32.5]]
    assert (np.kron([[0, 4], [28, 32.5]], np.ones((2, 2))) * GUIDED).tolist() == nearest


@pytest.mark.parametrize(
    ("method", "wanted"),
    [
        ("hires_cam", [[0, 4], [25, 25]]),
        ("xgrad_cam", [[0, 4], [25, 25]]),  # where every weight is 1 or -1, as here
        ("layer_cam", [[0, 4], [31, 40]]),
        ("grad_cam_plus_plus", [[0, 16 / 77], [124 / 77 + 6 / 23, 160 / 77 + 15 / 23]]),  # weights 4/77 and 1/23
        ("eigen_cam", [[0, 3.8235110865], [31.3947989751, 42.6415810265]]),
    ],
)
def test_other_cams_at_the_relu(small: Explainer, method: str, wanted: list[list[float]]) -> None:
    found = small.explain(X, SEED, method, "relu")
    assert deviation(found, upsampled(torch.tensor([wanted], dtype=torch.float64), 4)) < 1e-9


@pytest.mark.parametrize("sign", [1, -1])
def test_the_largest_value_of_eigen_cam_is_positive(sign: int) -> None:
    """A singular vector has no sign of its own, and a layer's values may all be negative."""
    values = torch.tensor([[[[-3.0, -4.0], [0.0, 1.0]]]], dtype=torch.float64) * sign
    assert deviation(eigen_cam(values, values.new_empty(0)), -values[:, 0] * sign) < 1e-12


def test_grad_cam_plus_plus_has_no_pole_where_a_map_sums_below_zero() -> None:
    """The paper's weight is 1 / (2 + S ct), infinite at S ct = -2; its S is of a ReLU and never negative."""
    values, ct = torch.tensor([[[[-2.0, 0.0], [0.0, 0.0]]]]), torch.tensor([[[[1.0, 1.0], [0.0, 0.0]]]])
    assert (grad_cam_plus_plus(-values, ct) == torch.tensor([[[0.25 + 0.25, 0], [0, 0]]]) * 2).all()
    assert grad_cam_plus_plus(values, ct).tolist() == [[[0, 0], [0, 0]]]


def test_xgrad_cam_leaves_a_map_out_whose_values_cancel() -> None:
    values, ct = torch.tensor([[[[1.0, -1.0], [0.0, 0.0]], [[1.0, 2.0], [0.0, 0.0]]]]), torch.ones(1, 2, 2, 2)
    assert xgrad_cam(values, ct).tolist() == [[[1, 2], [0, 0]]]


def test_input_x_gradient_and_biases_make_up_the_logit() -> None:
    torch.manual_seed(0)
    body = [nn.Conv2d(3, 8, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 8, 3), nn.ReLU()]
    module = nn.Sequential(*body, nn.Flatten(), nn.Linear(200, 5)).double().eval()
    x, seed = torch.randn(1, 3, 16, 16).double(), torch.eye(5)[2:3].double()
    share = compile_model(module, x).explain(x, seed, "input_x_gradient").sum()
    logit = (module(x) * seed).sum()
    biases = [p for n, p in module.named_parameters() if n.endswith("bias")]
    constant = sum((b * g).sum() for b, g in zip(biases, torch.autograd.grad(logit, biases), strict=True))
    torch.testing.assert_close(share + constant, logit, rtol=1e-12, atol=0)


def test_grad_cam_at_the_pooled_layer_is_cam_over_its_pixels() -> None:
    x = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    module = randomise(resnet18().eval(), x).double()
    explainer = compile_model(module, x.double())
    seed = torch.eye(1000).double()[[3, 700]]
    _, primals, _, _ = explainer.probe(x.double(), seed, "gradient")
    weights = seed @ module.fc.weight
    cam = torch.einsum("nc,nchw->nhw", weights, primals[-1])
    assert deviation(explainer.explain(x.double(), seed, "cam"), upsampled(cam, 64)) < 1e-12
    grad_cam = upsampled(torch.relu(cam) / cam[0].numel(), 64)
    assert deviation(explainer.explain(x.double(), seed, "grad_cam", -1), grad_cam) < 1e-12


def upsampled(cam: Tensor, side: int) -> Tensor:
    """Bilinear with half-pixel centres, by the formula: each output is a mean of four cells, weighted by area."""
    cells = cam.shape[-1]
    position = ((torch.arange(side, dtype=cam.dtype) + 0.5) * cells / side - 0.5).clamp(0, cells - 1)
    weights = (1 - (position[:, None] - torch.arange(cells, dtype=cam.dtype)).abs()).clamp(min=0)
    return torch.einsum("yi,nij,xj->nyx", weights, cam, weights)

"""A method of one's own: certified by its formula, refused where it can't be."""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from engine import METHODS, CompileError, Method, Place, compile_model, register_method
from engine.trust.certificate import AT_IMAGE, AT_LAYER

EXAMPLE = torch.zeros(1, 3, 12, 12, dtype=torch.float64)


def doubled(primal: Tensor, ct: Tensor) -> Tensor:
    """Twice the gradient."""
    return ct * 2


def products(primal: Tensor, ct: Tensor) -> Tensor:
    """Values times cotangents."""
    return (primal * ct).sum(1)


@pytest.fixture(autouse=True)
def tables() -> Iterator[None]:
    """The tables as they were, whatever a test puts into them."""
    before = [(table, dict(table)) for table in (METHODS, AT_IMAGE, AT_LAYER)]
    yield
    for table, entries in before:
        table.clear()
        table.update(entries)


def network() -> nn.Module:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.Flatten(), nn.Linear(256, 3))
    return net.double().eval()


def test_a_method_of_the_image_and_one_of_layers() -> None:
    register_method(Method("doubled", "guided", Place.IMAGE, doubled, "Doubled", "mine"), lambda x, ct: ct + ct)
    products_row = Method("products", "gradient", Place.LAYER, products, "Products", "mine")
    register_method(products_row, lambda a, ct: torch.einsum("nchw,nchw->nhw", a, ct), signed=True)
    explainer = compile_model(network(), EXAMPLE)
    x, seed = torch.randn(2, 3, 12, 12, dtype=torch.float64), torch.eye(3, dtype=torch.float64)[:2]
    torch.testing.assert_close(
        explainer.explain(x, seed, "doubled"), 2 * explainer.explain(x, seed, "guided_backprop")
    )
    assert (explainer.explain(x, seed, "products") < 0).any()
    for name in ("doubled", "products"):
        assert explainer.manifest["certificate"]["methods"][name] < 1e-12


def test_a_reading_that_is_not_its_formula_is_refused_by_the_certificate() -> None:
    register_method(Method("doubled", "guided", Place.IMAGE, doubled, "Doubled", "mine"), lambda x, ct: 3 * ct)
    with pytest.raises(CompileError, match=r"method doubled by 3\.3e-01.*strict=False"):
        compile_model(network(), EXAMPLE)
    explainer = compile_model(network(), EXAMPLE, strict=False)
    assert "doubled" in explainer.manifest["certificate"]["accepted"]
    assert explainer.manifest["certificate"]["methods"]["doubled"] == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (Method("grad_cam", "gradient", Place.LAYER, products, "", ""), "called 'grad_cam' already"),
        (Method("mine", "guidd", Place.LAYER, products, "", ""), "no policy is called 'guidd'; .*guided"),
        (
            Method("mine", "gradient", Place.LAYER, products, "", "", times="guided"),
            "no image method is called 'guided'; .*guided_backprop",
        ),
    ],
)
def test_a_row_that_can_not_be_is_refused_with_the_way_out(row: Method, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        register_method(row, lambda a, ct: ct)

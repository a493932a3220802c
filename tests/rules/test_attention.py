import torch

from tests.rules.cases import aten, case, each_case, hold, x

CASES = [
    case(aten.matmul, x(3, 4), x(4, 5)),
    case(aten.matmul, x(2, 3, 6, 4), x(2, 3, 4, 5)),
    case(aten.matmul, x(2, 3, 6, 4), x(4, 5)),
    case(aten.matmul, x(2, 1, 6, 4), x(3, 4, 5)),
    case(aten.bmm, x(3, 6, 4), x(3, 4, 5)),
    case(aten.matmul, x(2, 3, 4), x(4)),
    case(aten.matmul, x(4), x(2, 4, 5)),
    case(aten.matmul, x(4), x(4)),
    case(aten.mm, x(3, 4), x(4, 5)),
    case(aten.addmm, x(5), x(3, 4), x(4, 5)),
    case(aten.addmm, x(3, 5), x(3, 4), x(4, 5), beta=2, alpha=0.5),
    case(aten.baddbmm, x(1, 1, 5), x(2, 3, 4), x(2, 4, 5), beta=0.5),
    case(aten._cdist_forward, x(2, 3, 4), x(2, 5, 4), 2.0, None),
    case(aten._cdist_forward, x(3, 4), x(5, 4), 1.0, None),
    case(aten._cdist_forward, x(2, 3, 4), x(2, 5, 4), 3.0, None),
    case(aten.scaled_dot_product_attention, x(2, 6, 4), x(2, 6, 4), x(2, 6, 5), is_causal=True),
    case(aten.einsum, "b g i d, b g j d -> b g i j", [x(2, 3, 4, 5), x(2, 3, 6, 5)]),
    case(aten.einsum, "bij,bjd->bid", [x(2, 3, 4), x(2, 4, 5)]),
    case(aten.scaled_dot_product_attention, x(2, 3, 6, 4), x(2, 3, 5, 4), x(2, 3, 5, 7)),
    case(aten.scaled_dot_product_attention, x(2, 6, 4), x(2, 5, 4), x(2, 5, 4), scale=0.3),
    case(aten.scaled_dot_product_attention, x(2, 3, 6, 4), x(2, 3, 5, 4), x(2, 3, 5, 7), x(6, 5)),
    case(aten.scaled_dot_product_attention, x(2, 6, 4), x(2, 5, 4), x(2, 5, 4), torch.ones(6, 5).tril().bool()),
]


@each_case(CASES)
def test_a_rule_equals_autograd_of_its_op(one, layout):
    hold(one, layout)

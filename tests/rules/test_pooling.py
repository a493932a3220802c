import torch

from tests.rules.cases import aten, case, each_case, hold, ties, x

CASES = [
    case(aten.max_pool2d_with_indices, x(2, 3, 8, 8), [2, 2]),
    case(aten.max_pool2d_with_indices, x(2, 3, 9, 8), [3, 3], [2, 2], [1, 1]),
    case(aten.max_pool2d_with_indices, x(2, 3, 8, 9), [3, 3], [2, 2], [0, 0], [1, 1], True),
    case(aten.max_pool2d_with_indices, x(2, 3, 8, 10), [3, 2], [2, 3], [1, 1], [1, 1], True),
    case(aten.max_pool2d_with_indices, x(2, 3, 8, 8), [3, 3], [1, 1], [1, 1]),
    case(aten.max_pool2d_with_indices, x(2, 3, 9, 9), [3, 3], [1, 2], [1, 0], [2, 2]),
    case(aten.max_pool2d_with_indices, ties(2, 3, 8, 8), [3, 3], [1, 1], [1, 1]),
    case(aten.max_pool2d_with_indices, torch.ones(1, 2, 6, 6, dtype=torch.float64), [3, 3], [2, 2]),
    case(aten.max_pool3d_with_indices, x(2, 3, 6, 5, 4), [2, 2, 2]),
    case(aten.max_pool3d_with_indices, x(2, 3, 6, 5, 4), [3, 2, 2], [2, 1, 1], [1, 0, 1], [1, 1, 1], True),
    case(aten.adaptive_max_pool3d, x(2, 3, 6, 5, 4), [2, 1, 3]),
    case(aten.adaptive_avg_pool3d, x(2, 3, 6, 5, 4), [2, 1, 3]),
    case(aten._adaptive_avg_pool3d, x(2, 3, 6, 5, 4), [2, 2, 3]),
    case(aten.max_unpool2d, x(2, 3, 2, 2), torch.tensor([[0, 2], [8, 15]]).expand(2, 3, 2, 2), [4, 4]),
    case(
        aten.max_unpool3d,
        x(2, 3, 1, 2, 2),
        torch.tensor([[[0, 2], [8, 31]]]).expand(2, 3, 1, 2, 2),
        [2, 4, 4],
        [2, 2, 2],
        [0, 0, 0],
    ),
    case(aten.avg_pool2d, x(2, 3, 8, 8), [2, 2]),
    case(aten.avg_pool2d, x(2, 3, 9, 8), [3, 3], [2, 2], [1, 1]),
    case(aten.avg_pool2d, x(2, 3, 9, 8), [3, 3], [2, 2], [1, 1], False, False),
    case(aten.avg_pool2d, x(2, 3, 8, 9), [3, 2], [2, 2], [1, 0], True, True),
    case(aten.avg_pool2d, x(2, 3, 8, 8), [3, 3], [2, 2], [1, 1], True, False),
    case(aten.avg_pool2d, x(2, 3, 8, 8), [3, 3], [1, 1], [1, 1], False, True, 2),
    case(aten.avg_pool2d, x(2, 3, 8, 7), [2, 2], divisor_override=7),
    case(aten.adaptive_avg_pool2d, x(2, 3, 7, 5), [1, 1]),
    case(aten.adaptive_avg_pool2d, x(2, 3, 7, 5), [3, 2]),
    case(aten.adaptive_avg_pool2d, x(2, 3, 4, 4), [7, 7]),
    case(aten.adaptive_avg_pool2d, x(2, 3, 4, 6), [1, 6]),
    case(aten.adaptive_avg_pool2d, x(2, 3, 1, 1), [1, 1]),
    case(aten.adaptive_max_pool2d, x(2, 3, 7, 5), [1, 1], read=(0,)),
    case(aten.adaptive_max_pool2d, x(2, 3, 7, 5), [3, 2], read=(0,)),
    case(aten.avg_pool1d, x(2, 3, 9), [2]),
    case(aten.avg_pool1d, x(2, 3, 9), [3], [2], [1], True, False),
    case(aten.avg_pool3d, x(2, 3, 4, 5, 6), [2, 2, 3], [1, 1, 1], [0, 1, 1]),
]


@each_case(CASES)
def test_a_rule_equals_autograd_of_its_op(one, layout):
    hold(one, layout)

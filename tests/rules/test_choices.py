import torch

from tests.rules.cases import at, aten, case, each_case, hold, ties, x

CASES = [
    case(aten.where, at(1, 0, 1).bool(), x(2, 3), x(2, 1)),
    case(aten.maximum, ties(2, 3, 4), ties(3, 1)),
    case(aten.minimum, ties(2, 3, 4), ties(3, 1)),
    case(aten.max, ties(2, 3, 4), ties(2, 3, 4)),
    case(aten.max, x(2, 3, 4), 1),
    case(aten.max, x(2, 3, 4), -1, True),
    case(aten.min, ties(2, 3, 4), ties(2, 3, 4)),
    case(aten.min, x(2, 3, 4), 1, True),
    case(aten.sort, x(2, 3, 4)),
    case(aten.sort, x(2, 3, 4), 1, True),
    case(aten.topk, x(2, 5, 4), 2, 1),
    case(aten.topk, x(2, 5), 3),
    case(aten.median, x(2, 5, 4), 1),
    case(aten.median, ties(2, 5), -1, True),
    case(aten.nanmedian, x(2, 5, 4), 1),
    case(aten.mode, ties(2, 7), 1),
    case(aten.kthvalue, x(2, 5, 4), 3, 1),
    case(aten.kthvalue, x(2, 5), 2),
    case(aten.cummax, x(2, 5, 4), 1),
    case(aten.cummin, ties(2, 5, 4), -1),
    case(aten.masked_fill, x(2, 3), at(1, 0, 1).bool(), 0.5),
    case(aten.scatter, x(2, 3, 4), 1, torch.tensor([[[2, 0, 2, 1]], [[1, 1, 0, 0]]]), x(2, 1, 4)),
    case(aten.scatter, x(2, 3), 1, torch.tensor([[2], [0]]), 1.5),
    case(aten.scatter_add, x(2, 3), 1, torch.tensor([[2, 2], [0, 1]]), x(2, 2)),
    case(aten.where, at(1, 0, 1).bool(), 0.0, x(2, 3)),
    case(aten.sgn, x(2, 3)),
    case(aten.ceil, x(2, 3)),
    case(aten.trunc, x(2, 3)),
    case(aten.abs, at(-1, 0, 2)),
    case(aten.sign, x(2, 3)),
    case(aten.floor, x(2, 3)),
    case(aten.round, x(2, 3)),
    case(aten.gather, x(2, 3, 4), 1, torch.tensor([[[2, 0, 2, 1]], [[1, 1, 0, 0]]])),
    case(aten.index_select, x(2, 3, 4), -1, torch.tensor([3, 0, 0])),
    case(aten.index, x(2, 3, 4), [None, torch.tensor([2, 0, 2, 1])]),
    case(aten.index, x(2, 3, 4), [None, torch.tensor([2, 0]), torch.tensor([1, 1])]),
]


@each_case(CASES)
def test_a_rule_equals_autograd_of_its_op(one, layout):
    hold(one, layout)

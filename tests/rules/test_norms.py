import torch

from tests.rules.cases import aten, case, each_case, hold, positive, x

CASES = [
    case(aten.batch_norm, x(2, 4, 3, 5), x(4), x(4), x(4), positive(4), False, 0.1, 1e-5, False),
    case(aten.batch_norm, x(2, 4, 3, 5), None, None, x(4), positive(4), False, 0.1, 1e-3, True),
    case(aten.batch_norm, x(2, 4, 3, 5), x(4), None, x(4), positive(4), False, 0.0, 0.5, False),
    case(aten.batch_norm, x(3, 4), x(4), x(4), x(4), positive(4), False, 0.1, 1e-5, False),
    case(aten.native_layer_norm, x(2, 3, 4, 6), [6], x(6), x(6), 1e-5, read=(0,)),
    case(aten.native_layer_norm, x(2, 3, 4, 6), [6], None, None, 1e-6, read=(0,)),
    case(aten.native_layer_norm, x(2, 3, 4, 6), [3, 4, 6], x(3, 4, 6), x(3, 4, 6), 1e-5, read=(0,)),
    case(aten.native_layer_norm, x(2, 3, 4, 6), [3, 4, 6], None, None, 1e-2, read=(0,)),
    case(aten.native_layer_norm, x(2, 3, 4, 6), [6], x(6), None, 1e-5, read=(0,)),
    case(aten.rms_norm, x(2, 3, 6), [6], x(6)),
    case(aten.rms_norm, x(2, 3, 4), [3, 4], None, 0.1),
    case(aten.rms_norm, torch.zeros(2, 6, dtype=torch.float64), [6]),
    case(aten.group_norm, x(2, 6, 4, 5), 3, x(6), x(6), 1e-5),
    case(aten.group_norm, x(2, 6, 4, 5), 1),
    case(aten.group_norm, x(2, 6, 4, 5), 6, None, None, 0.1),
    case(aten.instance_norm, x(2, 3, 4, 5), x(3), x(3), None, None, True, 0.1, 1e-5, False),
    case(aten.instance_norm, x(2, 3, 4, 5), None, None, x(3), positive(3), False, 0.1, 1e-3, False),
]


@each_case(CASES)
def test_a_rule_equals_autograd_of_its_op(one, layout):
    hold(one, layout)

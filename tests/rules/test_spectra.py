import torch

from tests.rules.cases import aten, case, each_case, hold, x, z

CASES = [
    case(aten._fft_c2c, z(2, 5), [1], 0, True),
    case(aten._fft_c2c, z(2, 4, 5), [1, 2], 1, False),
    case(aten._fft_c2c, z(2, 4), [0, 1], 2, True),
    case(aten._fft_r2c, x(2, 5), [1], 0, True),
    case(aten._fft_r2c, x(2, 6), [1], 1, False),
    case(aten._fft_r2c, x(2, 4, 6), [1, 2], 2, True),
    case(aten._fft_r2c, x(2, 4, 6), [2, 1], 0, True),
    case(aten._fft_c2r, z(2, 3), [1], 0, 4),
    case(aten._fft_c2r, z(2, 3), [1], 1, 5),
    case(aten._fft_c2r, z(2, 4, 3), [1, 2], 2, 4),
    case(aten._fft_c2r, z(2, 1), [1], 0, 1),
    case(aten.view_as_real, z(2, 3)),
    case(aten.view_as_complex, x(2, 3, 2)),
    case(aten.conj_physical, z(2, 3)),
    case(aten.complex, x(2, 3), x(2, 3)),
    case(aten.polar, x(2, 3), x(2, 3)),
    case(aten.angle, z(2, 3)),
    case(aten.angle, x(2, 3)),
    case(aten.abs, z(2, 3)),
    case(aten.mul, z(2, 3), z(2, 1)),
    case(aten.mul, x(2, 3), z(2, 3)),
    case(aten.mul, z(2, 3), 1.5),
    case(aten.div, z(2, 3), z(3)),
    case(aten.div, z(2, 3), x(2, 3)),
    case(aten.add, x(2, 3), z(2, 1)),
    case(aten.sub, z(2, 3), x(2, 1), alpha=2),
    case(aten.sum, z(2, 3), [1]),
    case(aten.mean, z(2, 3), [1]),
    case(aten.abs, torch.zeros(2, dtype=torch.complex128)),
]


@each_case(CASES)
def test_a_rule_equals_autograd_of_its_op(one, layout):
    hold(one, layout)

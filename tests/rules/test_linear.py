import pytest

from tests.rules.cases import aten, case, each_case, hold, x

# torch says once per process that an even kernel costs a copy, in whichever test comes first.
pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")

CASES = [
    case(aten.conv2d, x(2, 4, 7, 8), x(6, 4, 3, 3)),
    case(aten.conv2d, x(2, 4, 7, 8), x(6, 4, 3, 3), x(6), [1, 1], [1, 1]),
    case(aten.conv2d, x(2, 4, 9, 9), x(6, 4, 3, 3), x(6), [2, 2], [1, 1]),
    case(aten.conv2d, x(2, 4, 10, 11), x(6, 4, 3, 3), None, [2, 2], [1, 1]),
    case(aten.conv2d, x(2, 4, 11, 12), x(6, 4, 3, 5), None, [3, 2], [0, 1]),
    case(aten.conv2d, x(2, 4, 9, 10), x(6, 4, 1, 1), None, [2, 3]),
    case(aten.conv2d, x(2, 4, 10, 9), x(6, 4, 2, 2), None, [4, 4]),
    case(aten.conv2d, x(1, 3, 23, 22), x(4, 3, 7, 7), None, [4, 4], [2, 2]),
    case(aten.conv2d, x(2, 4, 8, 8), x(6, 4, 1, 1), None, [1, 1], [2, 1]),
    case(aten.conv2d, x(2, 4, 9, 11), x(6, 4, 3, 3), None, [1, 1], [2, 2], [2, 2]),
    case(aten.conv2d, x(2, 4, 12, 11), x(6, 4, 3, 2), None, [2, 3], [1, 0], [2, 3]),
    case(aten.conv2d, x(2, 4, 7, 8), x(4, 1, 3, 3), x(4), [1, 1], [1, 1], [1, 1], 4),
    case(aten.conv2d, x(2, 4, 8, 7), x(8, 1, 5, 5), None, [2, 2], [2, 2], [1, 1], 4),
    case(aten.conv2d, x(2, 4, 7, 8), x(6, 2, 3, 3), None, [2, 1], [0, 2], [1, 2], 2),
    case(aten.conv2d, x(2, 4, 7, 8), x(6, 4, 3, 5), None, [1, 1], "same"),
    case(aten.conv2d, x(2, 4, 7, 8), x(6, 4, 2, 2), None, [1, 1], "same"),
    case(aten.conv2d, x(2, 4, 7, 8), x(6, 4, 4, 3), x(6), [1, 1], "same", [1, 2]),
    case(aten.conv2d, x(2, 4, 9, 9), x(6, 2, 2, 4), None, [1, 1], "same", [3, 1], 2),
    case(aten.conv2d, x(2, 4, 7, 8), x(6, 4, 3, 2), None, [1, 1], "valid"),
    case(aten.conv2d, x(2, 4, 9, 10), x(6, 4, 3, 2), x(6), [2, 3], "valid", [2, 1]),
    case(aten.conv2d, x(2, 4, 3, 3), x(6, 4, 3, 3)),
    case(aten.conv2d, x(2, 4, 3, 3), x(6, 4, 1, 1), None, [2, 2], [1, 1]),
    case(aten.linear, x(3, 5), x(4, 5)),
    case(aten.linear, x(3, 5), x(4, 5), x(4)),
    case(aten.linear, x(2, 3, 4, 5), x(6, 5), x(6)),
    case(aten.conv1d, x(2, 1, 9), x(1, 1, 3), None, [1], [1]),
    case(aten.conv1d, x(2, 4, 10), x(6, 2, 3), x(6), [2], [0], [2], 2),
    case(aten.conv1d, x(2, 4, 10), x(6, 4, 4), None, [1], "same"),
    case(aten.conv_transpose1d, x(2, 4, 6), x(4, 3, 3), x(3)),
    case(aten.conv_transpose1d, x(2, 4, 6), x(4, 3, 3), None, [2], [1], [1], 2, [2]),
    case(aten.conv_transpose3d, x(2, 4, 3, 4, 5), x(4, 3, 2, 3, 2), None, [2, 1, 1], [1, 0, 1]),
    case(aten.conv_transpose2d, x(2, 4, 5, 6), x(4, 3, 3, 3), x(3)),
    case(aten.conv_transpose2d, x(2, 4, 5, 6), x(4, 3, 3, 2), None, [2, 3], [1, 0], [1, 2], 2, [1, 2]),
    case(aten.conv3d, x(2, 4, 5, 6, 5), x(6, 2, 3, 3, 2), x(6), [2, 1, 1], [1, 0, 1], [1, 1, 2], 2),
]


@each_case(CASES)
def test_a_rule_equals_autograd_of_its_op(one, layout):
    hold(one, layout)

from tests.rules.cases import aten, case, each_case, hold, x

CASES = [
    case(aten.upsample_nearest2d, x(2, 3, 4, 5), [8, 10], None),
    case(aten.upsample_nearest2d, x(2, 3, 4, 5), None, [2.0, 1.5]),
    case(aten._upsample_nearest_exact2d, x(2, 3, 4, 5), [7, 10], None),
    case(aten._upsample_nearest_exact2d, x(2, 3, 4, 5), None, [2.0, 1.5]),
    case(aten.upsample_bilinear2d, x(2, 3, 4, 5), [7, 3], False, None),
    case(aten.upsample_bilinear2d, x(2, 3, 4, 5), None, True, [2.0, 1.5]),
    case(aten.upsample_bicubic2d, x(2, 3, 4, 5), [7, 10], True, None),
    case(aten.upsample_bicubic2d, x(2, 3, 4, 5), None, False, [2.0, 1.5]),
    case(aten._upsample_bilinear2d_aa, x(2, 3, 6, 5), [4, 3], False, None),
    case(aten._upsample_bilinear2d_aa, x(2, 3, 6, 5), None, True, [0.5, 1.5]),
    case(aten._upsample_bicubic2d_aa, x(2, 3, 6, 5), [4, 7], False, None),
    case(aten.channel_shuffle, x(2, 6, 4, 5), 2),
    case(aten.pixel_shuffle, x(2, 8, 3, 4), 2),
    case(aten.pixel_unshuffle, x(2, 2, 6, 4), 2),
    case(aten.im2col, x(2, 3, 6, 5), [3, 2], [1, 2], [1, 0], [2, 1]),
    case(aten.col2im, x(2, 12, 9), [4, 4], [2, 2], [1, 1], [0, 0], [1, 1]),
]


@each_case(CASES)
def test_a_rule_equals_autograd_of_its_op(one, layout):
    hold(one, layout)

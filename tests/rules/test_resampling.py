from tests.rules.cases import aten, case, each_case, hold, x

CASES = [
    case(aten.upsample_nearest1d, x(2, 3, 4), [7], None),
    case(aten.upsample_nearest3d, x(2, 3, 4, 2, 3), None, [2.0, 1.5, 1.0]),
    case(aten._upsample_nearest_exact1d, x(2, 3, 4), None, [1.5]),
    case(aten._upsample_nearest_exact3d, x(2, 3, 4, 2, 3), [5, 4, 3], None),
    case(aten.upsample_linear1d, x(2, 3, 4), [7], False, None),
    case(aten.upsample_trilinear3d, x(2, 3, 4, 2, 3), [5, 4, 3], True, None),
    case(aten.grid_sampler_2d, x(2, 3, 4, 5), x(2, 3, 3, 2), 0, 0, False),
    case(aten.grid_sampler_2d, x(2, 3, 4, 5), x(2, 3, 3, 2), 2, 1, True),
    case(aten.grid_sampler_3d, x(2, 3, 4, 5, 2), x(2, 3, 3, 2, 3), 0, 2, False),
    case(aten.unfold, x(2, 3, 8), 2, 3, 2),
    case(aten.unfold, x(2, 8, 3), 1, 2, 3),
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

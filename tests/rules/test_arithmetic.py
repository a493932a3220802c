import torch

from tests.rules.cases import at, aten, case, each_case, hold, positive, ties, x


def passes_at_an_end() -> bool:
    """Does this torch's own clamp pass the cotangent of a value that lies on an end?"""
    value = torch.zeros(1, requires_grad=True)
    value.clamp(0, 2).sum().backward()
    return bool(value.grad)


# Both one-sided derivatives are right at an end; torch 2.9 takes the other one, and is no reference there.
ENDS = (0.25, 1.75) if passes_at_an_end() else (0, 2)

CASES = [
    case(aten.add, x(2, 3, 4, 5), x(2, 3, 4, 5)),
    case(aten.add, x(2, 3, 4, 5), x(2, 3, 4, 5), alpha=-2),
    case(aten.add, x(2, 3, 4, 5), x(3, 1, 1), alpha=0.5),
    case(aten.add, x(3, 1, 5), x(2, 3, 4, 5), alpha=3),
    case(aten.add, x(2, 1, 4, 1), x(1, 3, 1, 5)),
    case(aten.add, x(2, 3, 4, 5), x()),
    case(aten.add, x(2, 3, 4, 5), 1.5),
    case(aten.add, x(2, 3, 4, 5), 2, alpha=3),
    case(aten.sub, x(2, 3, 4, 5), x(2, 3, 4, 5)),
    case(aten.sub, x(2, 3, 4, 5), x(2, 1, 1, 5), alpha=2),
    case(aten.sub, x(5), x(2, 3, 4, 5), alpha=-0.5),
    case(aten.sub, x(2, 3, 4, 5), 7),
    case(aten.mul, x(2, 3, 4, 5), x(2, 3, 4, 5)),
    case(aten.mul, x(2, 3, 4, 5), x(2, 3, 1, 1)),
    case(aten.mul, x(3, 1, 1), x(2, 3, 4, 5)),
    case(aten.mul, x(2, 1, 4, 5), x(3, 4, 1)),
    case(aten.mul, x(1, 1, 1, 1), x(1, 3, 1, 1)),
    case(aten.mul, x(2, 3, 4, 5), -0.25),
    case(aten.div, x(2, 3, 4, 5), positive(2, 3, 4, 5)),
    case(aten.div, x(2, 3, 4, 5), positive(2, 1, 4, 1)),
    case(aten.div, x(4, 1), positive(2, 3, 4, 5)),
    case(aten.div, x(2, 3, 4, 5), 6.0),
    case(aten.div, x(2, 3, 4, 5), 3),
    case(aten.mean, x(2, 3, 4, 5), [2, 3]),
    case(aten.mean, x(2, 3, 4, 5), [2, 3], True),
    case(aten.mean, x(2, 3, 4, 5), [-1, -2]),
    case(aten.mean, x(2, 3, 4, 5), [-3], True),
    case(aten.mean, x(2, 3, 4, 5), [1, -1], False),
    case(aten.mean, x(2, 3, 4, 5), [0, 1, 2, 3]),
    case(aten.sum, x(2, 3, 4, 5), [2, 3]),
    case(aten.sum, x(2, 3, 4, 5), [-1], True),
    case(aten.sum, x(2, 3, 4, 5), [-2, 1]),
    case(aten.sum, x(2, 3, 4, 5), [3, 0], True),
    case(aten.addcmul, x(2, 3, 4, 5), x(2, 3, 4, 5), x(2, 3, 4, 5)),
    case(aten.addcmul, x(1, 3, 1, 1), x(3, 1, 1), x(2, 3, 4, 5), value=0.5),
    case(aten.neg, x(2, 3, 4, 5)),
    case(aten.exp, x(2, 3, 4, 5)),
    case(aten.sqrt, positive(2, 3, 4, 5)),
    case(aten.rsqrt, positive(2, 3, 4, 5)),
    case(aten.pow, x(2, 3, 4, 5), 2),
    case(aten.pow, positive(2, 3, 4, 5), -0.5),
    case(aten.clamp, x(2, 3, 4, 5), -1, 2),
    case(aten.clamp, x(2, 3, 4, 5), 0.5),
    case(aten.clamp, x(2, 3, 4, 5), None, 0.5),
    case(aten.clamp, at(-1, *ENDS, 1, 3), 0, 2),
    case(aten.clamp_min, at(-1, *ENDS, 1), 0),
    case(aten.linalg_vector_norm, x(2, 3, 4, 5), 2, [-1], True),
    case(aten.linalg_vector_norm, x(2, 3, 4, 5), 2, [1, 2]),
    case(aten.linalg_vector_norm, torch.zeros(2, 3, dtype=torch.float64), 2, [1], True),
    case(aten.amax, x(2, 3, 4, 5), [2, 3]),
    case(aten.amax, ties(2, 3, 4, 5), [-1], True),
    case(aten.log, positive(2, 3)),
    case(aten.log1p, positive(2, 3)),
    case(aten.clamp_max, at(-1, *ENDS, 1.5), 2),
    case(aten.square, x(2, 3)),
    case(aten.reciprocal, positive(2, 3)),
    case(aten.rsub, x(2, 3), x(2, 1), alpha=2),
    case(aten.rsub, x(2, 3), 1.5),
    case(aten.sin, x(2, 3)),
    case(aten.cos, x(2, 3)),
    case(aten.atan, x(2, 3)),
    case(aten.erf, x(2, 3)),
    case(aten.cumsum, x(2, 3, 4), 1),
    case(aten.cumsum, x(2, 3, 4), -1),
    case(aten.var, x(2, 3, 4, 5), [2, 3]),
    case(aten.var, x(2, 3, 4, 5), [1], False, True),
    case(aten.var, x(2, 3, 4, 5), [-1], correction=2, keepdim=True),
    case(aten.std, x(2, 3, 4, 5), [2, 3]),
    case(aten.std, x(2, 3, 4, 5), [1], correction=0),
    case(aten.std, torch.ones(2, 3, dtype=torch.float64), [1]),
    case(aten.amin, ties(2, 3, 4, 5), [-1], True),
]


@each_case(CASES)
def test_a_rule_equals_autograd_of_its_op(one, layout):
    hold(one, layout)

"""One rule per op, and the policies that change them.

To add an op, write in two places. The rule, with the op's kind, on the page that it belongs to:

    @defvjp(aten.tanh, kind=kinds.SQUASH)
    def tanh_vjp(ct, y, self):
        return (aten.tanh_backward(ct, y),)

or, for a function of one value, as its formula alone:

    scalar(aten.sin, lambda ct, y, x: ct * aten.cos(x))

The arguments bear their ATen names. And a case in `tests/rules`, one line: `case(aten.tanh, x(2, 3))`; a rule
without one fails the tests. From the kind follow what policies and coverage do with the op, and how layers
see it.
"""

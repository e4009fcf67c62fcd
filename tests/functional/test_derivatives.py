"""The derivatives of the reference rows against numerical derivatives of their forward functions.

A derivative that is wrong in both a row and its kernel would pass all other tests.
"""

import numpy as np
import pytest

import relume
from tests.support.ops import OPS, each, errors, exact, hard_points
from tests.support.reference import ROWS, Row, mp

# The forward op of each activation, by its name.
FORWARD = {op.row["name"]: op for op in OPS if op.direction == "forward"}
each_forward = each(FORWARD.values())
each_from_output = each(op for op in OPS if op.direction == "backward_from_output")

USUAL = (1e-3, 0.01, 0.1, 0.3, 0.7, 1.1, 2, 3.3, 5, 7.7, 12.5, 30, 60)


def points_of(op, parameters, limit=100):
    """0 and points away from the kinks; points beyond the limit only test the tails of exp."""
    points = hard_points(op, parameters, np.float64, 0, *USUAL)[::2]
    kinks = np.array([*op.kinks(parameters, np.float64)])
    away = abs(points - kinks[:, None]).min(axis=0, initial=1) > 1e-9
    away &= (abs(points) < limit) & ((abs(points) > 1e-12) | (points == 0))
    return [mp.mpf(float(x)) for x in points[away]]


def numerical(op, x, arguments):
    """The derivative from the forward function alone: a central difference exact to 1e-60."""
    with mp.workdps(150):
        h, forward = mp.mpf(10) ** -30, op.reference.forward
        return (forward(x + h, *arguments) - forward(x - h, *arguments)) / (2 * h)


def assert_derivative(op, parameters):
    """The row's derivative is that of its forward function, to more digits than any dtype has."""
    arguments = op.arguments(parameters, np.float64)
    for x in points_of(op, parameters):
        expected, stated = numerical(op, x, arguments), op.reference.derivative(x, *arguments)
        scale = max(abs(expected), op.reference.floor, 1e-35)
        assert abs(stated - expected) <= 1e-20 * scale, (
            f"the row of {op} at {mp.nstr(x, 17)}, {parameters}: the derivative is "
            f"{mp.nstr(expected, 20)}, not {mp.nstr(stated, 20)}"
        )


@each_forward
def test_derivative_of_the_reference(op):
    for parameters in op.parameter_sets:
        assert len(points_of(op, parameters)) >= 15
        assert_derivative(op, parameters)


def test_a_wrong_derivative_is_noticed():
    op = FORWARD["tanh"]
    wrong = Row(ROWS["tanh"].forward, lambda x: 1 - mp.tanh(x) ** 3, ROWS["tanh"].limits)
    with pytest.raises(AssertionError, match="the row of tanh at"):
        assert_derivative(op._replace(reference=wrong), ())


@each_forward
def test_derivative_at_a_kink_is_that_of_one_side_or_between(op):
    """PyTorch's choice at a kink is arbitrary, but it is between the derivatives of both sides."""
    for parameters in op.parameter_sets:
        arguments = op.arguments(parameters, np.float64)
        for kink, stated in op.kinks(parameters, np.float64).items():
            h = mp.mpf(10) ** -20
            sides = [op.reference.derivative(kink + side * h, *arguments) for side in (-1, 1)]
            if 0 in parameters:
                sides.append(0)  # the flat part that the parameter has shrunk to this point
            low, high = min(sides) - 1e-15, max(sides) + 1e-15
            assert low <= stated <= high, f"{op}{parameters} at {kink}: {stated}, sides {sides}"
            assert op.reference.derivative(mp.mpf(kink), *arguments) == stated


@each_from_output
def test_derivative_from_output_of_the_reference(op):
    """For the output of x, it is the derivative at x, as long as the output determines x."""
    row = op.reference
    for parameters in op.parameter_sets:
        arguments = op.arguments(parameters, np.float64)
        for x in points_of(FORWARD[op.row["name"]], parameters, 30):
            with mp.workdps(100):
                stated = row.from_output(row.forward(x, *arguments), *arguments)
            expected = row.derivative(x, *arguments)
            assert abs(stated - expected) <= mp.mpf(10) ** -20 * abs(expected), (
                f"the row of {op} at the output of {mp.nstr(x, 17)}, {parameters}: "
                f"{mp.nstr(stated, 20)}, not {mp.nstr(expected, 20)}"
            )


@pytest.mark.parametrize("name", [n for n, row in ROWS.items() if row.parameter_derivative])
def test_derivative_by_a_parameter_of_the_reference(name):
    row, h = ROWS[name], mp.mpf(10) ** -15
    for x in map(mp.mpf, (-30, -2.5, -1e-3, 0, 1e-3, 0.7, 30)):
        for value in row.parameters:
            weight = mp.mpf(value[0])
            numeric = (row.forward(x, weight + h) - row.forward(x, weight - h)) / (2 * h)
            assert abs(row.parameter_derivative(x) - numeric) <= 1e-20 * max(1, abs(numeric))


@each(op for op in OPS if op.direction == "backward" and op.row["name"] in relume.__all__)
def test_backward_is_the_numerical_derivative(op):
    """The library's backward against the forward function alone, not the row's derivative."""
    row = op.reference
    for parameters in op.parameter_sets:
        arguments = op.arguments(parameters, np.float64)
        x = points_of(op, parameters, 30)
        actual = op.function(np.ones(len(x)), np.array([float(p) for p in x]), *parameters)
        error = errors(op, actual, exact([numerical(op, p, arguments) for p in x]))
        worst = int(error.argmax())
        assert error[worst] <= row.backward_ulp, (
            f"{op}(1, {mp.nstr(x[worst], 17)}, {parameters}): {error[worst]:.3g} ULP"
        )

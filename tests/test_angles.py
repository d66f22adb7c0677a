"""The laws that training draws its angles from: densities, quadratures and draws agree."""

import math
from types import SimpleNamespace

import pytest
import torch
from helpers import assert_close, seeded, standard_error
from test_training import BASE

from scorelab.errors import ConfigError
from scorelab.training import Training, angle_law
from scorelab.training.angles import ladder, log_t, native, single, uniform

#: a native time that falls from noise to data: sigma of X + sigma G
FALLING = SimpleNamespace(
    start_angle=0.1,
    end_angle=1.4,
    time=lambda angle: 1 / torch.tan(angle),
    angle=lambda time: torch.atan(1 / time),
)
#: one that rises, t = tan^2
RISING = SimpleNamespace(
    start_angle=0.0,
    end_angle=1.2,
    time=lambda angle: torch.tan(angle) ** 2,
    angle=lambda time: torch.atan(torch.sqrt(time)),
)
LAWS = {
    "uniform": uniform(0.1, 1.4),
    "log_t": log_t(0.1, 1.4),
    "falling": native(FALLING),
    "rising": native(RISING),
    "single": single(0.5),
    "ladder": ladder(0.1, 1.4, 7),
}


def test_draws_and_quadratures_of_a_law_agree():
    for name, law in LAWS.items():
        draws = law.sample(200_000, seeded(0), torch.float64)
        assert draws.min() >= law.low - 1e-12, name
        assert draws.max() <= law.high + 1e-12, name
        angles, quadrature = law.quadrature()
        assert float(quadrature.sum()) == pytest.approx(1.0, abs=1e-12), name
        for power in (1, 2):
            expected = float((quadrature * angles**power).sum())
            values = draws**power
            assert abs(float(values.mean()) - expected) <= 4 * standard_error(values) + 1e-12, (name, power)


def test_densities_are_those_in_closed_form():
    angle = torch.linspace(0.15, 1.15, 7, dtype=torch.float64)
    sin, cos, tan = torch.sin(angle), torch.cos(angle), torch.tan(angle)
    expected = {
        "uniform": torch.full_like(angle, 1 / 1.3),
        "log_t": 1 / (sin * cos * (math.log(math.tan(1.4)) - math.log(math.tan(0.1)))),
        "falling": 1 / (sin**2 * (1 / math.tan(0.1) - 1 / math.tan(1.4))),
        "rising": 2 * tan / cos**2 / math.tan(1.2) ** 2,
    }
    for name, density in expected.items():
        assert_close(LAWS[name].density(angle), density, rtol=1e-12)
        assert LAWS[name].density(angle.float()).dtype == torch.float32


def test_levels_are_geometric_and_a_single_level_is_one_angle():
    levels = 1 / torch.tan(LAWS["ladder"].points)
    ratios = levels[:-1] / levels[1:]
    assert_close(ratios, ratios[:1].expand(6), rtol=1e-12)
    assert_close(levels[[0, -1]], [1 / math.tan(0.1), 1 / math.tan(1.4)], rtol=1e-12)
    assert set(LAWS["single"].sample(5, seeded(0), torch.float64).tolist()) == {math.atan(2)}


def test_native_angles_are_those_of_the_runs_schedule():
    options = Training(**{**BASE, "angles": "native"})
    with pytest.raises(ValueError, match="a schedule is needed"):
        angle_law(options)
    law = angle_law(options, RISING)
    assert (law.low, law.high) == (0.0, 1.2)
    endless = SimpleNamespace(**{**vars(FALLING), "start_angle": 0.0})
    with pytest.raises(ConfigError, match="the schedule's time runs from inf"):
        angle_law(options, endless)

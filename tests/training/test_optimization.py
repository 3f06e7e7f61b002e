"""Learning rates and the average of weights."""

import pytest
import torch

from temu_vtoff.training.optimization import EMA, learning_rate_at
from temu_vtoff.training.settings import SCHEDULES


def test_the_rate_rises_then_falls():
    rates = [learning_rate_at(step, 1.0, 110, warmup=10) for step in range(110)]
    assert rates[:2] == [0.1, 0.2] and rates[9] == rates[10] == 1.0
    assert rates[60] == pytest.approx(0.5) and 0 < rates[-1] < 1e-3
    assert sorted(rates[10:], reverse=True) == rates[10:]
    assert learning_rate_at(60, 1.0, 110, 10, SCHEDULES["linear"]) == pytest.approx(0.5)
    assert learning_rate_at(109, 1.0, 110, 10, SCHEDULES["constant"]) == 1.0


def test_the_average_follows_its_recurrence_and_gives_the_weights_back():
    weight = torch.nn.Parameter(torch.zeros(1))
    average, expected = EMA([weight], decay=0.9), 0.0
    for step in range(1, 40):
        weight.data.fill_(float(step))
        average.step()
        decay = 0.0 if step == 1 else min(step / (9 + step), 0.9)
        expected = decay * expected + (1 - decay) * step
    with average.applied():
        assert weight.item() == pytest.approx(expected, rel=1e-5)
    assert weight.item() == 39

    restored = EMA([weight], decay=0.9)
    restored.load_state_dict(average.state_dict())
    with restored.applied():
        assert weight.item() == pytest.approx(expected, rel=1e-5)


def test_no_decay_is_no_average():
    weight = torch.nn.Parameter(torch.ones(1))
    average = EMA([weight], decay=0.0)
    average.step()
    with average.applied():
        assert weight.item() == 1

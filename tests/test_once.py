"""What runs of one process have in common is computed once, and is the same whoever asks."""

import torch

from scorelab.laws.projected_law import ProjectedLaw
from scorelab.metrics import projection
from scorelab.metrics.projection import LawComparison, exact_floor
from scorelab.once import content, once
from scorelab.randomness import stream
from scorelab.targets import GaussianMixture


def test_the_content_of_a_thing_is_its_type_and_its_numbers():
    def law(mean=1.0):
        return ProjectedLaw([0.7, 0.3], [mean, -1.0], [0.1, 0.1])

    assert content(law()) == content(law()) is not None
    different = [
        *(law(), law(1.0 + 1e-15), GaussianMixture.two_modes(n=2), GaussianMixture.two_modes(n=3)),
        *(1, 1.0, "1", True, None, (1, 2), [1, 2], (1, (2,)), {"a": 1}, {"a": 1.0}, {}),
        *(torch.zeros(2), torch.zeros(2, 1), torch.zeros(2, dtype=torch.float64), torch.zeros(2).numpy()),
    ]
    assert len({content(thing) for thing in different}) == len(different)


def test_a_thing_that_is_more_than_its_content_is_computed_anew():
    calls = []
    kept = once(lambda *arguments: calls.append(arguments) or len(calls))
    assert [kept(1.0), kept(1.0), kept(2.0), kept(1.0)] == [1, 1, 2, 1]
    for thing in (torch.Generator(), len, object(), [1, lambda: 2]):
        assert content(thing) is None
        assert kept(thing) != kept(thing)


def test_a_large_array_is_not_looked_at(monkeypatch):
    assert content([torch.zeros(3)]) is not None
    monkeypatch.setattr("scorelab.once._LARGEST", 11)
    assert content([torch.zeros(3)]) is None


def test_only_the_last_results_are_kept(monkeypatch):
    monkeypatch.setattr("scorelab.once._KEPT", 2)
    calls = []
    kept = once(lambda value: calls.append(value) or value)
    assert [kept(value) for value in (1, 2, 1, 3, 1, 2)] == [1, 2, 1, 3, 1, 2]
    assert calls == [1, 2, 3, 2]


def test_the_floor_of_a_law_is_a_number_of_the_law_alone(monkeypatch):
    law = ProjectedLaw([0.6, 0.4], [1.0, -1.0], [0.3, 0.2])
    found = exact_floor(law, 40, 30)
    assert found == LawComparison(law, 40).floor(30, stream(0, "floors"))
    monkeypatch.setattr(projection, "LawComparison", None)
    assert exact_floor(ProjectedLaw([0.6, 0.4], [1.0, -1.0], [0.3, 0.2]), 40, 30) == found

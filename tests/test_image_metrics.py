"""What is measured of generated images: planted cases, and whole runs."""

import math

import numpy
import pytest
import torch
from helpers import assert_close, normal, refused, seeded
from scipy import stats
from sklearn.metrics import pairwise
from test_image_files import built

import scorelab
from scorelab.denoisers import ExactDenoiser
from scorelab.errors import ScorelabError
from scorelab.lab.numbers import RUN as RUN_SECTION
from scorelab.laws.section import undeclared
from scorelab.metrics import images
from scorelab.studies.base import sections_of
from scorelab.studies.generate import Generate
from scorelab.studies.generate.images import Frames
from scorelab.targets import Images

RUN = (
    "target=images",
    "target.limit=60",
    "sampler.count=80",
    "sampler.steps=40",
    "study.path_kl_angles=4",
    "study.path_kl_draws=10",
    "study.posterior_mean_draws=50",
    "study.floor_repeats=10",
    "figures.dpi=50",
    "threads=1",
)
TRAINED = ("denoiser=velocity", "denoiser.m=16", "training.N=120", "training.epochs=3", "training.batch_size=60")


@pytest.fixture(scope="module")
def digits():
    return built()


def test_copies_are_memorised_and_held_out_images_are_the_floor(digits):
    copies = digits.points[:300] + 0.02 * normal(300, 1, 8, 8, seed=1).float()
    found = images.memorisation(copies, digits, 50, seeded(0))
    assert found["memorised"].value == 1
    assert found["nearest_ratio"].value < 0.15
    found = images.memorisation(digits.held_out.numpy(), digits, 50, seeded(0))
    for each in found.values():
        assert each.value == each.floor
    assert found["memorised"].value < 0.02
    assert 0.85 < found["nearest_ratio"].value < 0.97
    half = torch.cat([copies[:150], digits.held_out[:150]])
    assert images.memorisation(half, digits, 50, seeded(0))["memorised"].value == pytest.approx(0.5, abs=0.02)


def test_the_error_of_the_median_ratio_is_its_spread_over_sets(digits):
    medians = [float(images.ratios(digits.held_out[k::6], digits).median()) for k in range(6)]
    error = images.memorisation(digits.held_out[::6], digits, 200, seeded(0))["nearest_ratio"].standard_error
    assert 0.4 < error / numpy.std(medians, ddof=1) < 2.5


def test_the_sliced_distance_is_the_mean_of_distances_on_lines():
    one, other, directions = normal(30, 5, seed=1), normal(41, 5, seed=2) + 0.3, normal(5, 7, seed=3)
    lines = [stats.wasserstein_distance(*(x @ d for x in (one, other))) for d in directions.T]
    found = images.sliced_w1(one, other, directions, 60, seeded(0))
    assert found.value == pytest.approx(numpy.mean(lines), rel=1e-12)
    again = [
        images.sliced_w1(normal(30, 5, seed=10 + k), normal(41, 5, seed=50 + k) + 0.3, directions, 2, seeded(0)).value
        for k in range(40)
    ]
    assert 0.5 < found.standard_error / numpy.std(again, ddof=1) < 2


def test_the_discrepancy_is_unbiased_with_the_error_of_its_spread(monkeypatch):
    one, other, widths = normal(12, 3, seed=1), normal(15, 3, seed=2) + 0.5, [0.7, 1.4]
    kernels = [
        sum(pairwise.rbf_kernel(x, y, gamma=1 / (2 * w**2)) for w in widths) / 2
        for x, y in ((one, one), (other, other), (one, other))
    ]
    inside = [(kernel.sum() - kernel.trace()) / (len(kernel) * (len(kernel) - 1)) for kernel in kernels[:2]]
    found = images.mmd_squared(one, other, widths)
    assert found.value == pytest.approx(sum(inside) - 2 * kernels[2].mean(), rel=1e-12)
    left = [[images.mmd_squared(one[keep], other, widths).value for keep in leaving(12)]]
    left += [[images.mmd_squared(one, other[keep], widths).value for keep in leaving(15)]]
    variance = sum((len(each) - 1) * numpy.var(each) for each in left)
    assert found.standard_error == pytest.approx(math.sqrt(variance), rel=1e-10)
    monkeypatch.setattr(images, "_TABLE", 40)
    assert images.mmd_squared(one, other, widths).value == pytest.approx(found.value, rel=1e-12)
    same = [images.mmd_squared(normal(12, 3, seed=100 + k), normal(15, 3, seed=300 + k), widths) for k in range(80)]
    values = numpy.array([each.value for each in same])
    assert abs(values.mean()) < 4 * values.std() / math.sqrt(80)


def leaving(count):
    """Without each place in turn."""
    return [[k for k in range(count) if k != left] for left in range(count)]


def test_training_images_are_at_their_floor_and_noise_and_one_class_are_not(digits):
    found = images.distances(digits.points[:400], digits, 20, seeded(0))
    assert all(each.value == each.floor for each in found.values())
    noise = normal(400, 1, 8, 8, seed=4).float().clamp(-1, 1)
    ones = digits.points[digits.labels == 1]
    for samples in (noise, ones):
        for name, each in images.distances(samples, digits, 20, seeded(0)).items():
            assert each.value > each.floor + 10 * (each.standard_error + each.floor_deviation), name


def test_held_out_images_are_recognised_as_often_as_is_said_and_noise_is_not(digits):
    found = images.classification(digits.held_out, digits, 100, seeded(0))
    assert found["classifier_accuracy"].value > 0.97
    assert found["recognised"].value == found["recognised"].floor == pytest.approx(0.95, abs=0.02)
    confidence, right = images.Classifier(digits).held_out[1:]
    threshold = images.Classifier(digits).threshold
    assert float((confidence[right] >= threshold).mean()) == pytest.approx(0.95, abs=1 / right.sum())
    distance = found["class_distance"]
    assert abs(distance.value - distance.floor) < 4 * distance.floor_deviation
    noise = normal(200, 1, 8, 8, seed=4).float()
    assert images.classification(noise, digits, 20, seeded(0))["recognised"].value < 0.02
    means = (digits.points[:200] + digits.points[200:400]) / 2
    assert images.classification(means, digits, 20, seeded(0))["recognised"].value < 0.3
    seven = digits.points[digits.labels == 7]
    found = images.classification(seven, digits, 20, seeded(0))
    share = float((digits.labels == 7).double().mean())
    assert found["class_distance"].value == pytest.approx(1 - share, abs=0.01)
    assert found["class_shares"].value[7] > 0.99
    assert found["class_shares"].exact[7] == pytest.approx(share)


def test_the_decomposition_of_the_optimum_is_its_bayes_risk_and_no_gap(digits):
    target = Images(digits.points[:40], held_out=digits.held_out[:30])
    rows = images.generalisation(ExactDenoiser(target), target, [0.6, 1.1], 100, seeded(0))
    for row in rows:
        assert row["gap_train"].value == row["gap_held_out"].value == 0
        for name in ("train", "held_out"):
            assert row[f"error_{name}"] == row[f"optimum_{name}"]
        risk, error = target.bayes_risk_and_error(row["angle"])
        spread = math.hypot(float(error), row["optimum_train"].standard_error)
        assert abs(float(risk) - row["optimum_train"].value) < 4 * spread
    apart = (target.held_out.unsqueeze(1) - target.points).flatten(2).square().sum(2).amin(1).double()
    late = images.generalisation(ExactDenoiser(target), target, [1.55], 100, seeded(0))[0]
    assert late["optimum_held_out"].value == pytest.approx(float(apart.mean()), rel=1e-6)

    class Halved(ExactDenoiser):
        def forward(self, x, angle):
            return 0.5 * super().forward(x, angle)

    row = images.generalisation(Halved(target), target, [1.55], 100, seeded(0))[0]
    size = target.points.double().square().flatten(1).sum(1)
    assert row["gap_train"].value == pytest.approx(0.25 * float(size.mean()), rel=1e-6)
    assert row["error_train"].value == pytest.approx(0.25 * float(size.mean()), rel=1e-6)


def test_what_the_data_do_not_allow_is_not_measured():
    alone = Images(normal(6, 1, 3, 3, seed=1).float())
    x = normal(5, 1, 3, 3, seed=2).float()
    found = images.memorisation(x, alone, 5, seeded(0)) | images.distances(x, alone, 5, seeded(0))
    assert found["memorised"].value is not None
    for name in ("memorised_floor", "nearest_ratio_floor", "sliced_w1", "mmd_squared"):
        assert found[name].not_measured == "the target has no data that are held out"
    unnamed = Images(normal(6, 1, 3, 3, seed=1).float(), held_out=x)
    assert "no labels" in images.classification(x, unnamed, 5, seeded(0))["recognised"].not_measured
    one = Images(normal(6, 1, 3, 3, seed=1).float(), torch.zeros(6).long(), x, torch.zeros(5).long())
    assert "of one class" in images.classification(x, one, 5, seeded(0))["recognised"].not_measured
    row = images.generalisation(ExactDenoiser(alone), alone, [0.5], 5, seeded(0))[0]
    assert not [name for name in row if "held_out" in name]


def test_frames_are_evenly_spaced_and_end_with_the_last():
    for steps, kept in ((200, [*range(0, 201, 10)]), (199, [*range(0, 191, 10), 199]), (5, [*range(6)])):
        assert Frames(steps).kept == kept


# Runs. --------------------------------------------------------------------------------------------------------------


def test_the_exact_posterior_mean_copies_its_training_images(run_once):
    result = run_once(*RUN, "denoiser=exact")
    found = result.metrics["images"]
    assert found["memorised"] == 1
    assert found["memorised_floor"] < 0.05
    assert found["recognised"] == 1
    assert result.metrics["path_kl"]["total"] == 0
    assert not undeclared(result.metrics, (*sections_of(Generate), RUN_SECTION))
    drawn = {path.stem for path in (result.directory / "figures").glob("*.png")}
    assert drawn == set(result.arrays) == {"errors", "images", "denoising", "generalisation"}
    ratio = result.target.nearest(torch.tensor(result.samples)).ratio
    assert bool((ratio < 1 / 3).all())
    arrays = result.arrays["denoising"]
    assert arrays["step"].tolist() == list(range(0, 41, 2))
    assert arrays["states"].shape == arrays["means"].shape == (21, 3, 1, 8, 8)
    assert_close(arrays["states"][-1] / numpy.sin(arrays["angle"][-1]), result.samples[:3].astype(float), 1e-5, 1e-5)
    assert_close(torch.tensor(arrays["means"][0, 0]), result.target.points.mean(0), 1e-4, 1e-5)
    closing = result.config.study.closing(result.metrics)
    assert "share of copies of training images" in [row[0] for row in closing.rows]
    table = (result.directory / "generalisation.csv").read_text().splitlines()
    assert len(table) == 1 + len(result.metrics["generalisation"]["angle"])


def test_a_network_that_reads_vectors_learns_images_and_can_be_measured_again(tmp_path, undrawn):
    result = scorelab.run([*RUN, *TRAINED, "target.std=0.1"], tmp_path / "run")
    metrics = result.metrics
    assert metrics["images"]["memorised"] < 0.2
    assert metrics["path_kl"]["total"] > 1
    assert metrics["generalisation"]["gap_train"][10] > 0
    assert {"images", "denoising", "generalisation", "training"} <= set(result.arrays)
    (line,) = (each for each in result.config.study.closing(metrics).lines if each.startswith("path KL"))
    assert (
        line == "path KL: to the process that copies the training images, which a network that generalises is far from"
    )
    again = scorelab.run([f"run={tmp_path / 'run'}", "stage=analyse", "study.trajectories=0"])
    assert again.metrics["images"] == metrics["images"]
    assert again.metrics["generalisation"] == metrics["generalisation"]


def test_a_process_of_vectors_refuses_images_in_one_line(tmp_path):
    text = refused(ScorelabError, scorelab.run, [*RUN, "process=anisotropic"], tmp_path / "run")
    assert "a sample has the shape (1, 8, 8), and a vector of 64 numbers is needed" in text

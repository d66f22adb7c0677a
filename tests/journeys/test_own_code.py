"""A researcher with code of their own: a law, samples, a network, a sampler."""

import json

import numpy
import pandas
import pytest
import torch
from helpers import blocks
from safetensors.torch import save_file

import scorelab
from scorelab.targets import GaussianMixture

BANANA = '''"""My law."""


def banana(x):
    """The log density at points (count, 2)."""
    return -4 * x[:, 0] ** 2 - 8 * (x[:, 1] - x[:, 0] ** 2) ** 2
'''
NETWORK = '''"""My network, which knows nothing of scorelab."""

import torch


class Net(torch.nn.Module):
    """A noise predictor of states (count, n), told the angle (count,)."""

    def __init__(self, n: int, width: int = 8):
        super().__init__()
        self.body, self.head = torch.nn.Linear(n + 1, width), torch.nn.Linear(width, n)

    def forward(self, state, time):
        return self.head(torch.tanh(self.body(torch.cat([state, time.unsqueeze(1)], 1))))
'''


@pytest.fixture
def lab(user, request):
    """The user with a package of their own, whose name no other test has."""
    name = "lab_" + request.node.name.partition("[")[0].removeprefix("test_")[:40]
    (user.folder / name).mkdir()
    (user.folder / name / "__init__.py").touch()
    return user, user.folder / name, name


def metrics(user, directory="outputs/run"):
    return json.loads((user.folder / directory / "metrics.json").read_text())


def test_a_law_that_is_a_function_is_sampled_and_its_exact_answers_are_beside_it(lab):
    user, folder, name = lab
    (folder / "laws.py").write_text(BANANA)
    law = f"target=density target.shape=own target.function={name}.laws.banana 'target.box=[-4,8]'"
    user.types(f"python run.py {law} 'extensions=[{name}]' denoiser=exact hydra.run.dir=outputs/run", quick=True)
    found = metrics(user)
    assert found["path_kl"]["total"] == 0
    assert found["projection"]["w1"] < found["projection"]["w1_floor"] + 8 * found["projection"]["w1_floor_deviation"]
    assert user.finds("outputs/run/figures/plane.npz")


def test_a_mistake_in_my_own_code_is_one_line_with_its_place(lab):
    user, folder, name = lab
    (folder / "laws.py").write_text("def broken(x):\n    return 1 / 0\n")
    law = f"target=density target.shape=own target.function={name}.laws.broken 'target.box=[-4,8]'"
    user.types(f"python run.py {law} 'extensions=[{name}]'", quick=True, status=1)
    assert user.err.count("\n") == 1
    assert "laws.py:2: ZeroDivisionError" in user.err


def test_samples_of_my_own_are_the_law_and_what_is_held_out_is_the_yardstick(user):
    points = torch.randn(200, 3, generator=torch.Generator().manual_seed(0)) * torch.tensor([3.0, 1.0, 0.3])
    pandas.DataFrame(points.numpy(), columns=["a", "b", "c"]).to_csv(user.folder / "mine.csv", index=False)
    user.types("python run.py target=samples target.path=mine.csv hydra.run.dir=outputs/run", quick=True)
    data = metrics(user)["data"]
    assert data["count"] + data["held_out"] == 200 if "held_out" in data else data["count"] < 200
    assert data["sliced_w1_floor"] > 0


def test_modes_with_covariances_of_my_own_have_exact_answers(user):
    numpy.save(user.folder / "c.npy", numpy.stack([[[1.0, 0.9], [0.9, 1.0]], [[1.0, -0.9], [-0.9, 1.0]]]))
    law = "target=mixture target.n=2 'target.weights=[1,2]' 'target.means=[[2,0],[-2,0]]'"
    user.types(
        f"python run.py {law} 'target.covariances=${{npy:c.npy}}' denoiser=exact hydra.run.dir=outputs/run", quick=True
    )
    target = scorelab.load(user.folder / "outputs/run").target
    assert target.covariances[1].flatten().tolist() == pytest.approx([1.0, -0.9, -0.9, 1.0])
    assert metrics(user)["path_kl"]["total"] == 0


def test_many_modes_have_their_weights_tested_together(user):
    law = "target=many_modes target.n=8 target.means.count=20"
    user.types(f"python run.py {law} denoiser=exact hydra.run.dir=outputs/run", quick=True)
    found = metrics(user)["projection"]
    assert len(found["mode_weights"]) == 20
    assert found["mode_chi_squared_floor"] == 19


def test_a_network_of_my_own_starts_from_its_file_and_keeps_what_is_frozen(lab):
    user, folder, name = lab
    (folder / "net.py").write_text(NETWORK)
    weights = {"body.weight": torch.zeros(8, 9), "body.bias": torch.zeros(8), "head.weight": torch.zeros(8, 8)}
    save_file(weights | {"head.bias": torch.zeros(8)}, user.folder / "net.safetensors")
    mine = f"denoiser=module denoiser.module={name}.net.Net denoiser.prediction=eps denoiser.weights=net.safetensors"
    frozen = "'denoiser.frozen=[body.*]'"
    user.small = [word for word in user.small if not word.startswith("denoiser.")]
    user.types(f"python run.py {mine} {frozen} 'extensions=[{name}]' hydra.run.dir=outputs/run", quick=True)
    state = scorelab.load(user.folder / "outputs/run", [name], reads=True).denoiser.module.state_dict()
    assert not state["body.weight"].any()
    assert state["head.bias"].any()
    user.types(f"python run.py stage=analyse run=outputs/run 'extensions=[{name}]'")


def test_samples_of_my_own_sampler_are_held_against_the_law(user):
    target, generator = GaussianMixture.two_modes(n=8), torch.Generator().manual_seed(0)
    exact = target.sample(1000, generator)
    numpy.save(user.folder / "good.npy", exact.numpy())
    numpy.savetxt(user.folder / "bad.csv", 1.2 * exact.numpy(), delimiter=";")
    law = "target=two_modes target.n=8"
    assert "nothing tells them from exact ones" in user.types(f"scorelab evaluate good.npy {law} --repeats 40")
    said = user.types(f"scorelab evaluate bad.csv {law} --repeats 40 --out found", status=3)
    assert "they differ from exact ones" in said
    assert user.finds("found/evaluation.json")


def test_a_direction_of_my_own_is_what_is_looked_at(user):
    user.types("python run.py 'target.direction={axis: 2}' denoiser=exact hydra.run.dir=outputs/run", quick=True)
    assert scorelab.load(user.folder / "outputs/run").target.direction.nonzero().tolist() == [[2]]
    before = user.finds("outputs/*")
    assert "target.direction" in user.types("python run.py 'target.direction={axis: 20}'", quick=True, status=2)
    assert [path for path in user.finds("outputs/*") if any(path.iterdir())] == before  # nothing was begun


def test_the_sampler_of_the_guide_runs_as_it_stands_on_its_page(user):
    page = "docs/extending/sampler.md"
    (user.folder / "my_own_lab").mkdir()
    (user.folder / "my_own_lab" / "__init__.py").touch()
    (user.folder / "my_own_lab" / "samplers.py").write_text(blocks(page, "python")[0])
    option = blocks(page, "yaml")[0].replace("my_lab", "my_own_lab")
    (user.folder / "conf" / "sampler").mkdir(parents=True)
    (user.folder / "conf" / "sampler" / "mine.yaml").write_text(option)
    words = "--config-dir conf sampler=mine denoiser=exact 'extensions=[my_own_lab]' hydra.run.dir=outputs/run"
    user.types(f"python run.py {words}", quick=True)
    assert metrics(user)["projection"]["w1"] > 0

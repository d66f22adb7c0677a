"""Configurations are checked as a whole before anything is computed, and cannot run code."""

import importlib
import math
from collections import defaultdict
from pathlib import Path

import pytest
import yaml
from helpers import ROOT, composed, refused, seeded, with_values

from scorelab.errors import ConfigError
from scorelab.lab.app import config_folder
from scorelab.lab.config import check, differences
from scorelab.lab.help import options
from scorelab.nodes import GROUPS, NESTED, Component


def options_of(group):
    return [*options(group, [config_folder()])]


#: what an option needs beside it
COMPANIONS = {
    "amp": ["target=ising"],
    "mean_field": ["target=ising"],
    "mala": ["denoiser=exact"],
    "module": ["extensions=[torch]", "denoiser.module={_target_: torch.nn.Identity}"],
    "unet": ["target=images"],
    "annealed_langevin": ["schedule=ve"],
    "reverse_sde": ["schedule=ou"],
    "samples": [f"target.path={ROOT / 'tests' / 'data' / 'samples.csv'}"],
    "exponential_integrator": ["schedule=ou"],
}


#: what options build, where it is no contract of a node
MADE = defaultdict(tuple, process=(("scorelab.processes.base", "Process"),))


@pytest.mark.parametrize("group", GROUPS)
def test_every_option_composes_and_builds(group):
    default = check(with_values())["target"].build(generator=seeded(0))
    for name in options_of(group):
        config = check(composed(f"{group}={name}", *COMPANIONS.get(name, ())))
        component, own = config[group], any("target=" in each for each in COMPANIONS.get(name, ()))
        target = config["target"].build(generator=seeded(0)) if own else default
        built = component.build(n=target.n, target=target, generator=seeded(0))
        contracts = [getattr(importlib.import_module(home), contract) for home, contract in GROUPS[group] + MADE[group]]
        assert isinstance(built, tuple(contracts)), name


def test_conf_mirrors_the_package():
    for group in GROUPS:
        package = {"study": "studies", "process": "processes", "training": "training"}.get(group, f"{group}s")
        for name in options_of(group):
            content = yaml.safe_load((config_folder() / group / f"{name}.yaml").read_text())
            if "_target_" in content:
                assert content["_target_"].startswith(f"scorelab.{package}."), (group, name)


MISTAKES = (
    ("target.p=1.2", "target.p = 1.2: allowed is a number > 0 and < 1"),
    ("target.p=0", "target.p = 0"),
    ("target.n=0", "target.n = 0: allowed is an integer >= 1"),
    ("target.a=[1,2]", "a has 2 entries, n = 128"),
    ("target.a=foo", "target.a = foo: allowed are a number, a list of n numbers"),
    ("target.a={norm:-1}", "norm"),
    ("target.a=0", "the modes lie on each other"),
    ("target.a=1e300", "target.a = 1e+300: allowed are numbers up to 1e+15"),
    ("target.n=123456789012345678901234567890", "allowed is an integer >= 1 and <= 1e+09"),
    ("sampler.count=1", "sampler.count = 1: allowed is an integer >= 2"),
    ("sampler.steps=1e30", "sampler.steps = 1e+30: allowed is an integer >= 1 and <= 1e+09"),
    ("training.lr=1e300", "training.lr = 1e+300: allowed is a number > 0 and <= 1e+15"),
    ("threads=true", "threads = True: a number is needed"),
    ("threads=100000", "threads = 100000: allowed is an integer >= 1 and <= 512"),
    ("training.N=0", "training.N = 0: allowed is an integer >= 1"),
    ("training.N=abc", "training.N = abc: allowed is an integer >= 1"),
    ("training.N=1.5", "training.N = 1.5"),
    ("training.N=true", "a number is needed"),
    ("training.epochs=0", "training.epochs = 0"),
    ("training.batch_size=-1", "training.batch_size = -1"),
    ("training.lr=0", "training.lr = 0: allowed is a number > 0"),
    ("training.averaging=1", "training.averaging = 1"),
    ("training.angle_max=2", "training.angle_max = 2"),
    ("training.angle_min=1.57", "must be below angle_max"),
    ("training.angles=log_t", "needs angle_min > 0"),
    ("training.keep=best", "needs validation > 0"),
    ("training.optimizer=lion", "'adamw', 'adam' or 'sgd'"),
    ("denoiser.L=0", "denoiser.L = 0"),
    ("denoiser.m=-3", "denoiser.m = -3: allowed is an integer >= 1"),
    ("denoiser.activation=foo", "denoiser.activation = foo: must be 'relu', 'tanh'"),
    ("sampler.steps=0", "sampler.steps = 0: allowed is an integer >= 1"),
    ("sampler.output=best", "'scaled', 'posterior_mean' or 'posterior_draw'"),
    ("schedule.alpha_max=2", "schedule.alpha_max = 2"),
    ("schedule.alpha_max=0", "an angle in (0, pi/2) is needed"),
    ("schedule.T=-1", "schedule.T = -1"),
    ("seed=-1", "seed = -1: allowed is an integer >= 0"),
    ("stage=draw", "stage = draw"),
    ("figures.formats=[jpg]", "jpg"),
    ("+sede=3", "sede: unknown key; did you mean seed?"),
    ("+training.epoch=3", "training.epoch: unknown key; did you mean epochs?"),
    ("+denoiser.LL=3", "denoiser.LL: unknown key; did you mean L?"),
    ("+sweep.resum=x", "unknown key; did you mean resume?"),
    ("denoiser._target_=os.system", "allowed are classes of scorelab"),
    ("denoiser._target_=scorelab.targets.TwoModes", "a class derived from DenoiserOptions"),
    ("denoiser._target_=scorelab.nothing.Here", "cannot be imported"),
    ("extensions=[subprocess]", "packages of your own"),
    ("extensions=['a;b']", "packages of your own"),
)


def test_a_mistake_is_one_line_that_names_key_value_and_what_is_allowed():
    for override, says in MISTAKES:
        text = refused(ConfigError, check, with_values(override))
        assert says in text, override
        assert "\n" not in text, override


def test_two_modes_that_are_one_are_refused():
    for means, std in (("[1.0,1.0,2.0]", "1.0"), ("[[1.0,1.0],1.0,2.0]", "1.0"), ("[2.0,1.0,1.0]", "[1.0,3.0,3.0]")):
        data = composed("target=mixture", "target.n=2", f"target.means={means}", f"target.std={std}")
        assert "have one mean and one std" in refused(ConfigError, check, data), (means, std)
    check(composed("target=mixture", "target.n=2", "target.means=[1.0,1.0,2.0]", "target.std=[1.0,2.0,1.0]"))


def test_one_switch_needs_no_list():
    data = composed("denoiser=phase_aware", "denoiser.switches=speciation")
    assert check(data).data["denoiser"]["switches"] == ["speciation"]


def test_log_t_grid_needs_t_min_below_the_end():
    with pytest.raises(ConfigError, match="t_min < T"):
        check(with_values("schedule.grid=log_t", "schedule.T=1e-4", "schedule.t_min=3e-4"))


def test_a_listed_extension_still_cannot_name_a_class_without_a_contract():
    with pytest.raises(ConfigError, match="a class derived from"):
        check(with_values("extensions=[numpy]", "denoiser._target_=numpy.ndarray"))


def test_an_unlisted_package_is_not_even_imported(tmp_path, monkeypatch):
    (tmp_path / "trap.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ConfigError, match="allowed are classes of scorelab"):
        check(with_values("denoiser._target_=trap.Net"))


def test_integers_may_be_written_with_an_exponent():
    config = check(with_values("training.N=1e4"))
    assert config.data["training"]["N"] == 10_000
    assert isinstance(config.data["training"]["N"], int)
    assert config.fingerprint == check(with_values("training.N=10000")).fingerprint


def test_the_fingerprint_changes_with_what_results_depend_on_and_with_nothing_else():
    reference = check(composed()).fingerprint
    assert check(composed("denoiser=tanh")).fingerprint != reference
    for changing in ("seed=1", "training.lr=1e-4", "sampler.count=10", "target.p=0.5"):
        assert check(with_values(changing)).fingerprint != reference, changing
    for bookkeeping in ("training.checkpoint_every=3", "figures.dpi=100", "threads=1", "sweep.dry_run=true"):
        assert check(with_values(bookkeeping)).fingerprint == reference, bookkeeping


def test_differences_name_each_key_with_both_values():
    assert differences({"a": {"b": 1, "c": 2}}, {"a": {"b": 3, "c": 2}}) == ["a.b: 1 -> 3"]


def test_protocols_say_what_the_paper_and_its_code_say():
    paper, author = check(composed("training=paper")), check(composed("training=author"))
    for config in (paper, author):
        training = config.options("training")
        assert (training.optimizer, training.lr, training.lr_schedule) == ("adamw", 1e-3, "constant")
        assert (training.weight_decay, training.batch_size, training.clip) == (1e-4, 50, 1.0)
        assert training.angle_max == pytest.approx(math.pi / 2 - 0.01, abs=1e-15)
        assert (training.objective, training.averaging, training.keep) == ("posterior_mean", 0.0, "last")
    assert paper.options("training").train_count == paper.options("training").N
    assert author.options("training").train_count == 0.6 * author.options("training").N
    assert author.options("training").validation_batch == 5


def test_every_key_of_a_group_is_explained_where_it_stands():
    for group in (*GROUPS, *NESTED):
        for path in (config_folder() / group).rglob("*.yaml"):
            lines = path.read_text().splitlines()
            assert lines[0].startswith("#"), path
            if "defaults:" not in path.read_text():
                for line in lines:
                    if line and not line.startswith(("#", " ", "_target_")):
                        assert "#" in line, f"{path}: {line}"


def test_a_users_own_classes_are_checked_by_their_signatures(tmp_path, monkeypatch):
    (tmp_path / "my_lab.py").write_text(
        "from typing import Annotated\n"
        "import torch\n"
        "from pydantic import Field\n"
        "from scorelab.denoisers import Denoiser\n"
        "class Net(Denoiser):\n"
        "    def __init__(self, n: int, width: Annotated[int, Field(ge=1)] = 4):\n"
        "        super().__init__()\n"
        "        self.linear = torch.nn.Linear(n, n)\n"
        "    def forward(self, x, angle):\n"
        "        return self.linear(x)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    base = {**with_values("extensions=[my_lab]"), "denoiser": {"_target_": "my_lab.Net", "width": 8}}
    assert check(base)["denoiser"].build(n=3, target=None).linear.in_features == 3
    for bad, says in (({"width": 0}, "denoiser.width = 0"), ({"widht": 8}, "did you mean width")):
        with pytest.raises(ConfigError, match=says):
            check({**base, "denoiser": {"_target_": "my_lab.Net", **bad}})


def test_what_the_run_gives_may_not_be_given_a_second_time():
    class Net:
        def __init__(self, n: int):
            self.n = n

    assert Component("denoiser", "my_lab.Net", Net, {}, None).build(n=3).n == 3
    with pytest.raises(ConfigError, match=r"^denoiser\.n = 4: comes from the run"):
        Component("denoiser", "my_lab.Net", Net, {"n": 4}, None).build(n=3)
    assert Component("target", "my_lab.Net", Net, {"n": 4}, None).build(generator=seeded(0)).n == 4


def test_a_class_that_does_not_implement_its_contract_is_refused_before_anything_is_computed(tmp_path, monkeypatch):
    (tmp_path / "unfinished.py").write_text("from scorelab.samplers import Sampler\nclass Rule(Sampler):\n    pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    base = with_values("extensions=[unfinished]")
    with pytest.raises(ConfigError, match="does not implement step, which Sampler asks for"):
        check({**base, "sampler": {**base["sampler"], "_target_": "unfinished.Rule"}})


def test_conf_is_found_from_the_package():
    assert (Path(config_folder()) / "config.yaml").is_file()

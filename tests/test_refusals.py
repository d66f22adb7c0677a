"""What Hydra, YAML and the system refuse: one line from the command line, a ScorelabError from Python."""

import os
import subprocess
import sys

import pytest
from conftest import SMALL
from helpers import ROOT, answer_here, copied, over, refused

import scorelab
from scorelab.errors import ConfigError, ScorelabError
from scorelab.lab.job_words import read_jobs
from scorelab.lab.runs import Run

DRY = ("-m", "sweep.dry_run=true", "target.n=8")


@over(
    ("overrides", "says"),
    [
        (["denoiser=tahn"], "denoiser = tahn: no such option; did you mean tanh?"),
        (["training.Nn=3"], "training.Nn: unknown key; did you mean N?"),
        (["seed=${missing.key}"], "seed: Interpolation key 'missing.key' not found"),
        (["hydra.run.dir=${missing}"], "Interpolation key 'missing' not found"),
        (["target=null"], "target=null: a group takes the name of one of its options"),
        (["a=["], "no viable alternative"),
        (["study=claims", "study.quick=true"], "study.quick: the keys of this study stand under claims"),
        (["seed=1,2"], "seed=1,2: -m, or scorelab.sweep, sweeps over these values"),
        (["+seed=1"], "An item is already at 'seed'"),
        (["hydra/launcher=nope"], "hydra/launcher = nope: no such option"),
        (["hydra/launcher=stacked"], "hydra/launcher=stacked: needs a sweep, as in python run.py -m"),
        (["hydra/sweeper=optimise"], "hydra/sweeper=optimise: needs a sweep"),
        (["training.resume=/nonexistent"], "training.resume = /nonexistent: not a run directory"),
        (["run=/nonexistent", "stage=plot"], "run = /nonexistent: not a run directory"),
        ("seed=3", "overrides = seed=3: a list of words is needed"),
        ([3], "overrides = [3]: a list of words is needed"),
        (None, "overrides = None: a list of words is needed"),
    ],
)
def test_whatever_is_refused_is_a_scorelab_error_in_python(overrides, says, tmp_path):
    assert says in refused(ScorelabError, scorelab.run, overrides, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_a_folder_of_options_has_to_be_there_and_its_files_have_to_be_text(tmp_path):
    assert "no such folder" in refused(ConfigError, scorelab.run, [], tmp_path / "new", tmp_path / "none")
    for name in ("denoiser/own.yaml", "grid/own.yaml"):
        path = tmp_path / "conf" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"# caf\xe9\nm: 3\n")
        words = ["denoiser=own"] if "denoiser" in name else ["schedule.grid=own"]
        assert str(path) in refused(ConfigError, scorelab.run, words, tmp_path / "new", tmp_path / "conf")
        for more in ((), DRY):
            answer = answer_here("--config-dir", tmp_path / "conf", *more, *words, cwd=tmp_path)
            assert answer["status"] == 2, answer
            assert "Traceback" not in answer["err"]
            assert str(path) in answer["err"]
            assert "utf-8" in answer["err"].lower()
    (tmp_path / "jobs.yaml").write_bytes(b"- {seed: 1} # caf\xe9\n")
    assert "jobs.yaml" in refused(ConfigError, read_jobs, tmp_path / "jobs.yaml")


def test_a_file_that_a_stage_needs_is_named_where_it_is_missing(run_once, tmp_path):
    for name, stage in (("denoiser.safetensors", "sample"), ("samples.npy", "analyse")):
        run = copied(run_once(*SMALL), tmp_path / stage)
        (run / name).unlink()
        answer = answer_here(f"run={run}", f"stage={stage}", cwd=tmp_path)
        assert answer["status"] == 1
        assert answer["err"].count("\n") == 1
        assert answer["err"].startswith(f"error: {run / name}: ")


def test_a_key_that_has_a_default_in_its_class_can_be_set_though_no_file_names_it(tmp_path, monkeypatch):
    (tmp_path / "damped.py").write_text(
        "import torch\nfrom scorelab.denoisers import Denoiser\nfrom scorelab.samplers import DDIM\n"
        "class Damped(DDIM):\n    damping: float = 0.5\n"
        "class Net(Denoiser):\n    def __init__(self, n: int, width: int = 4):\n        super().__init__()\n"
        "        self.layers = torch.nn.Sequential(torch.nn.Linear(n, width), torch.nn.Linear(width, n))\n"
        "    def forward(self, x, angle):\n        return self.layers(x)\n"
    )
    for group, name in (("sampler", "Damped"), ("denoiser", "Net")):
        (tmp_path / "conf" / group).mkdir(parents=True)
        defaults = "defaults: [ddim, _self_]\n" if group == "sampler" else ""
        (tmp_path / "conf" / group / "own.yaml").write_text(f"{defaults}_target_: damped.{name}\n")
    monkeypatch.syspath_prepend(tmp_path)
    small = [word for word in SMALL if not word.startswith("denoiser.")]
    own = [*small, "extensions=[damped]", "sampler=own", "denoiser=own", "stage=train"]
    asked = [*own, "sampler.damping=0.25", "denoiser.width=3"]
    config = scorelab.run(asked, tmp_path / "run", tmp_path / "conf").config
    assert config.data["sampler"]["damping"] == 0.25
    assert config.data["denoiser"]["width"] == 3
    assert Run(tmp_path / "run").overrides.count("+sampler.damping=0.25") == 1
    answer = answer_here("--config-dir", "conf", *DRY, *own, "sampler.damping=0.25,no", cwd=tmp_path)
    assert "+sampler.damping=0.25" in answer["out"]
    assert "sampler.damping = no: must be a valid number" in answer["err"]
    for words, says in (("sampler.dampin=1", "did you mean damping?"), ("denoiser.wid=1", "did you mean width?")):
        assert says in refused(ConfigError, scorelab.run, [*own, words], tmp_path / "no", tmp_path / "conf")


def test_a_key_of_a_node_inside_a_node_can_be_set_as_well(tmp_path):
    networks = ["extensions=[networks]", "denoiser=mixture_aware", "~denoiser.network"]
    network = [*networks, "+denoiser.network={_target_: networks.Velocity}", "denoiser.network.width=3"]
    module = ["extensions=[networks]", "denoiser=module", "denoiser.module={_target_: networks.Plain}"]
    small = [word for word in SMALL if not word.startswith("denoiser.")]
    for number, words in enumerate((network, [*module, "denoiser.module.width=3"])):
        run = scorelab.run([*small, *words, "stage=train"], tmp_path / str(number))
        node = run.config.data["denoiser"]
        assert (node.get("network") or node["module"])["width"] == 3
        more = [*words, words[-1].replace("width", "widht")]
        assert "widht: unknown key; did you mean width?" in refused(ConfigError, scorelab.run, more)


@over(
    ("words", "says"),
    [
        (["denoiser=student,relu", "denoiser.K=3"], "denoiser.K: no key of the default option of denoiser; for every "),
        (["denoiser=student,relu", "denoiser.K=3"], "option that is swept, ++denoiser.K=3 gives it"),
        (["denoiser=student,relu", "++denoiser.K=3"], "relu ++denoiser.K=3: denoiser.K: unknown key; valid names: L,"),
        (["training.Nn=3,4"], "training.Nn=4: training.Nn: unknown key; did you mean N?"),
        (["hydra.sweep.subdir=a"], "error: hydra.sweep.subdir = a: the directories of jobs are their numbers"),
        (["hydra.sweeper.max_batch_size=1"], "error: hydra.sweeper.max_batch_size = 1: all jobs are launched at once"),
        (["hydra.sweeper.params={seed:[3,4]}"], "error: hydra.sweeper.params.seed = [3, 4]: dotted keys and texts are"),
        (["hydra.run.dir=a"], "error: hydra.run.dir: is of a single run; hydra.sweep.dir names"),
        (
            ["sweep.resume=a", "hydra.sweep.dir=b"],
            "error: hydra.sweep.dir: goes with a new sweep; this one goes on in a",
        ),
        (["sweep.resume=/nonexistent"], "error: sweep.resume = /nonexistent: not a sweep directory"),
    ],
)
def test_a_sweep_says_which_key_does_nothing_or_is_of_no_option(words, says, tmp_path):
    answer = answer_here(*DRY, *words, cwd=tmp_path)
    assert answer["status"] in (1, 2)
    assert says in answer["err"]
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_is_opened_gets_no_other_directory(run_once, tmp_path):
    run = run_once(*SMALL).directory
    answer = answer_here(f"run={run}", "stage=plot", "hydra.run.dir=b", cwd=tmp_path)
    assert answer["err"] == f"error: hydra.run.dir: goes with a new run; this one works in {run}\n"


def test_the_parameters_of_the_sweeper_are_swept_unless_the_command_line_sets_them(tmp_path):
    params = "hydra.sweeper.params={training.N:'3,4',seed:'5,6'}"
    answer = answer_here(*DRY, "seed=0,1", params, cwd=tmp_path)
    jobs = [f"training.N={count} target.n=8 seed={seed} " for count in (3, 4) for seed in (0, 1)]
    assert answer["status"] == 0, answer
    for number, job in enumerate(jobs):
        assert f"job #{number}  {job}" in answer["out"]


def test_a_number_with_an_exponent_is_a_number_in_a_list_of_jobs(tmp_path):
    (tmp_path / "jobs.yaml").write_text(
        "- {training.lr: 1e-4, a: [1E3, -2.e+1], b: {c: .5e-1}, d: 1e, e: e4, f: '1:2'}\n"
    )
    (job,) = read_jobs(tmp_path / "jobs.yaml")
    assert job == ["training.lr=0.0001", "a=[1000.0,-20.0]", "b={c:0.05}", "d='1e'", "e=e4", "f='1:2'"]


@pytest.mark.parametrize(
    "words", [["--hydra-help"], [*SMALL, "stage=train", "hydra.run.dir=here"]], ids=["help", "run"]
)
def test_a_reader_that_goes_away_stops_no_run_and_gets_no_traceback(words, tmp_path):
    command = [sys.executable, str(ROOT / "run.py"), *words]
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(command, cwd=tmp_path, stdout=write, stderr=subprocess.PIPE, text=True, timeout=120)
    os.close(write)
    assert (done.returncode, done.stderr) == (141, "")
    if words[0] != "--hydra-help":
        assert Run(tmp_path / "here").state == "done"


def test_a_package_in_the_working_directory_is_found_wherever_run_py_lies(tmp_path):
    (tmp_path / "my_lab_here").mkdir()
    (tmp_path / "my_lab_here" / "__init__.py").write_text(
        "from scorelab.samplers import DDIM\nclass Mine(DDIM): pass\n"
    )
    words = ["extensions=[my_lab_here]", "sampler._target_=my_lab_here.Mine", "sampler=ddim"]
    command = [sys.executable, str(ROOT / "run.py"), *DRY, *words]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "1 jobs, 0 that cannot run" in done.stdout

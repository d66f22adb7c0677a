"""What a study declares is what the laboratory does: groups, stages, figures, identity."""

import functools

import pytest
import yaml
from helpers import answer_here, composed
from matplotlib.figure import Figure

import scorelab
from scorelab.errors import ConfigError
from scorelab.lab.app import config_folder
from scorelab.lab.config import check
from scorelab.lab.context import Context
from scorelab.lab.runs import Run
from scorelab.studies.base import Number, function_of

STUDIES = sorted(path.stem for path in (config_folder() / "study").glob("*.yaml"))
GROUPS = ("target", "denoiser", "schedule", "sampler", "process", "training")
#: keys of each group that every study can have otherwise; an empty dictionary stands for another option
OTHER = {
    "target": {"n": 6},
    "denoiser": {},
    "schedule": {"grid": "karras"},
    "sampler": {"steps": 7},
    "process": {},
    "training": {"lr": 1e-5},
}


@functools.cache
def data(name):
    return composed(f"study={name}")


@functools.cache
def others():
    return composed("denoiser=relu", "process=erasure")


@functools.cache
def config(name, *overrides):
    return check(composed(f"study={name}", *overrides) if overrides else data(name))


def test_what_a_study_uses_is_its_identity_and_nothing_else():
    for name in STUDIES:
        reference = config(name)
        assert set(reference.components) == {*reference.study.uses, "study"}
        assert set(reference.study.uses) <= set(GROUPS)
        for group, keys in OTHER.items():
            other = data(name)[group] | keys if keys else others()[group]
            same = check(data(name) | {group: other}).fingerprint == reference.fingerprint
            assert same == (group not in reference.study.uses), (name, group)


def test_a_group_that_a_study_does_not_use_is_not_checked():
    for name in STUDIES:
        for group in set(GROUPS) - set(config(name).study.uses):
            assert group not in check({**data(name), group: {"_target_": "nobody.Knows", "x": None}}).data, name
        for group in config(name).study.uses:
            with pytest.raises(ConfigError, match=rf"^{group}\._target_ = nobody\.Knows: allowed"):
                check({**data(name), group: {"_target_": "nobody.Knows"}})


def test_everything_that_a_study_declares_can_be_had():
    for name in STUDIES:
        study = type(config(name).study)
        for table, function in (("stages", "run"), ("figures", "figure"), ("overviews", "grid")):
            for key, place in getattr(study, table).items():
                assert place is None or callable(function_of(study, table, key, function)), (name, table, key)
        assert set(study.overviews) <= set(study.figures)
        assert list(study.stages)[-1] == "plot"


def test_a_number_stands_for_every_name_that_is_found():
    number = Number("s.METHOD.w1", "W1 of METHOD", held="floor", reference="s.METHOD.least")
    first, second = number.among(["s.ddim.w1", "s.ddim.ks", "s.ddim.heun.w1", "r.ddim.w1", "s.heun.w1"])
    assert first == Number("s.ddim.w1", "W1 of ddim", held="floor", reference="s.ddim.least")
    assert second.error_key == "s.heun.w1_standard_error"
    assert Number("s.w1", "W1").among(["s.w2"]) == [Number("s.w1", "W1")]


def test_the_claims_that_are_asked_for_are_part_of_the_identity_but_not_how_they_are_measured():
    whole = config("claims").fingerprint
    assert config("claims", "claims.only=[S0-12]").fingerprint != whole
    assert config("claims", "claims.quick=true").fingerprint != whole
    assert config("claims", "claims.jobs=2", "claims.docs=docs", "claims.list=true").fingerprint == whole


def test_a_stage_that_a_study_does_not_have_is_one_line():
    with pytest.raises(ConfigError, match=r"^stage = train: allowed are all, analyse, plot$"):
        config("conditional_mean", "stage=train")
    with pytest.raises(ConfigError, match=r"^stage = fly: allowed are all, train, sample, analyse, plot$"):
        config("generate", "stage=fly")


def test_a_context_gives_nothing_that_the_study_does_not_use(tmp_path):
    context = Context(Run(tmp_path), config("two_stage"))
    with pytest.raises(ConfigError, match=r"^sampler: the study TwoStage does not use this group$"):
        _ = context.sampler


def test_a_study_runs_whatever_the_groups_say_that_it_does_not_use(tmp_path):
    """MALA needs a density, which the default network has not."""
    quick = ["study.starts=2", "study.n=4", "study.samples=20", "study.stage1.steps=5", "study.stage2.steps=5"]
    done = answer_here("study=two_stage", "sampler=mala", "hydra.run.dir=run", *quick, cwd=tmp_path)
    assert done["status"] == 0, done
    assert (tmp_path / "run" / "figures" / "two_stage.png").is_file()
    assert "sampler" not in Run(tmp_path / "run").config.data


def test_stages_of_a_study_without_training_are_done_again(tmp_path):
    quick = ["study=conditional_mean", "study.points=20", "study.times=[1.0]", "threads=1"]
    first = scorelab.run(quick, tmp_path / "run")
    again = scorelab.run([*quick, f"run={tmp_path / 'run'}", "stage=analyse", "study.points=30"])
    assert again.directory == first.directory
    assert len(again.arrays["conditional_mean"]["t"]) == 30
    assert isinstance(again.figures["conditional_mean"], Figure)


def test_a_study_that_is_named_again_keeps_the_keys_of_its_run(tmp_path):
    quick = ["study=claims", "claims.only=[S0-02]", "claims.quick=true", "claims.jobs=1"]
    first = scorelab.run(quick, tmp_path / "run")
    again = scorelab.run(["study=claims", f"run={tmp_path / 'run'}", "stage=plot", "claims.jobs=2"])
    assert again.config.study.only == ["S0-02"]
    assert again.config.fingerprint == first.config.fingerprint


def test_a_run_of_an_earlier_version_can_be_gone_back_to(small, tmp_path):
    """It has keys without a value, the exponent of a grid beside the grid, and no `training.enabled`."""
    first = scorelab.run([*small, "stage=train"], tmp_path / "run")
    path = tmp_path / "run" / "config.yaml"
    saved = yaml.safe_load(path.read_text())
    del saved["training"]["enabled"]
    saved["schedule"] |= {"grid": "log_snr", "rho": 7.0}
    path.write_text(yaml.safe_dump({**saved, "claims": None}))
    again = scorelab.run([f"run={tmp_path / 'run'}", "stage=sample"], tmp_path / "again")
    assert again.config.fingerprint == first.config.fingerprint
    assert again.metrics["sampling"]["count"] == 300

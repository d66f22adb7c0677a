"""--help says what every option and every key means, from the comments of the option files."""

import re

import pytest
from helpers import ROOT, answers_of

from scorelab.lab.help import OptionFile
from scorelab.lab.pages import options_page

FILES = sorted(path for each in ("*", "target/*", "hydra/*") for path in (ROOT / "conf").glob(f"{each}/*.yaml"))
#: nodes that a study gives to what it compares by name; the mapping above them says what they are
NAMED = r"(samplers|methods|processes)\.\w+(\.\w+)*|levels\.\w+"


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    """What the command line answers, with the options of a folder of one's own."""
    where = tmp_path_factory.mktemp("help")
    (where / "conf" / "target").mkdir(parents=True)
    (where / "conf" / "target" / "mine.yaml").write_text(
        "# What I sample. More of it.\ndefaults: [two_modes, _self_]\nn: 4  # of mine, $5\na: 2.0\n"
    )
    calls = (
        ["--config-dir", "conf", "--help"],
        ["--config-dir", "conf", "target=mine", "target.p=0.2", "--help"],
        ["target=images", "grid@schedule.grid=karras", "hydra/launcher=slurm_gpu", "--help"],
    )
    return [" ".join(answer["out"].split()) for _, answer in answers_of(*calls, cwd=where)]  # as if nothing was wrapped


def test_the_overview_has_a_line_for_every_option_and_marks_what_is_chosen(answers):
    for path in FILES:
        meaning = OptionFile.read(path).meaning
        name = path.relative_to(ROOT / "conf").with_suffix("").as_posix().removeprefix("hydra/").partition("/")[2]
        assert f" {name} {meaning} " in answers[0] or f" {name} * {meaning} " in answers[0], path
    for shown in (
        "== denoiser=NAME",
        " velocity * The ",
        " mine What I sample. ",
        "stage=plot run=DIR",
        " seed=0 one integer",
    ):
        assert shown in answers[0]
    assert "training.epochs" not in answers[0]


def test_an_option_that_is_named_shows_each_key_with_its_value_and_meaning(answers):
    for path in (ROOT / "conf" / "target" / "images.yaml", ROOT / "conf" / "grid" / "karras.yaml"):
        for key, (_, comment) in OptionFile.read(path).keys().items():
            assert re.search(rf" [\w.]+\.{key}=\S+ {re.escape(comment)}", answers[2]), key
    assert "hydra.launcher.cpus_per_task=4 CPUs of a job of the sweep" in answers[2]
    assert "study=NAME" not in answers[2]


def test_an_option_of_ones_own_has_the_comments_of_the_option_that_it_begins_with(answers):
    above = OptionFile.read(ROOT / "conf" / "target" / "two_modes.yaml").keys()
    whole = (
        f"== target=mine What I sample. More of it. target.p=0.2 {above['p'][1]} target.n=4 of mine, $5 target.a=2.0 "
    )
    assert answers[1] == f"{whole}{above['a'][1]} target.direction=null {above['direction'][1]}"


def test_every_option_begins_with_a_sentence_and_every_key_has_a_comment():
    for path in [ROOT / "conf" / "config.yaml", *FILES]:
        option = OptionFile.read(path)
        assert option.meaning.endswith("."), path
        assert len(option.meaning) <= 120, path
        if path.parent.name != "experiment":
            silent = [
                key for key, (_, comment) in option.keys().items() if not comment and not re.fullmatch(NAMED, key)
            ]
            assert silent == [], path


def test_the_page_of_options_is_that_of_the_option_files():
    assert (ROOT / "docs" / "options.md").read_text() == options_page(), "make docs writes it"

"""The tutorial: its commands in their order, with small budgets, in the folder of somebody who does what it says."""

import contextlib
import io
import re
import shlex
import subprocess
import sys

import pytest
from conftest import SMALL
from helpers import ROOT, answer_here

from scorelab import cli

PAGE = (ROOT / "docs" / "tutorial.md").read_text()
COMMANDS = re.findall(
    r"^    ((?:python|scorelab) [^\n]*)$", re.sub(r"```.*?```", "", PAGE, flags=re.DOTALL), re.MULTILINE
)
#: commands that the page shows as refused
REFUSED = (" target.p=1.2", " target=two_mode")
SMALLER = [word for word in SMALL if not word.startswith(("target.", "denoiser."))]


def small(words):
    """The words of a command with a small budget; what the command itself asks for stays, but for large numbers."""
    if words[:2] != ["python", "run.py"] or "--help" in words or f" {words[-1]}" in REFUSED:
        return words
    if any(word.startswith("stage=") for word in words):
        return [*words, "figures.formats=[]"]
    given = {word.partition("=")[0] for word in words}
    rest = [word for word in SMALLER if word.partition("=")[0] not in given]
    fewer = {"training.N": "training.N=200,400" if "-m" in words else "training.N=200", "seed": "seed=0,1"}
    words = [fewer.get(word.partition("=")[0], word) for word in words]
    if "outputs/wild" in words[-1]:
        rest.remove("training.epochs=4")
    return [*words, *rest]


def answer(words, where):
    """Status, output and errors of a command."""
    if words[:2] == ["python", "run.py"]:
        done = answer_here(*words[2:], cwd=where)
        return done["status"], done["out"], done["err"]
    if words[0] == "python":
        done = subprocess.run([sys.executable, *words[1:]], cwd=where, capture_output=True, text=True)
        return done.returncode, done.stdout, done.stderr
    out, status = io.StringIO(), 0
    with pytest.MonkeyPatch.context() as patch, contextlib.chdir(where), contextlib.redirect_stdout(out):
        patch.setattr(sys, "argv", words)
        try:
            cli.main()
        except SystemExit as end:
            status = end.code or 0
    return status, out.getvalue(), ""


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    """Command of the tutorial -> its status, output and errors."""
    where = tmp_path_factory.mktemp("tutorial")
    shown = re.findall(r"`([\w/]+\.(?:py|yaml))`[^`]*:\n\n```\w+\n(.*?)```", PAGE, re.DOTALL)
    shown += re.findall(r"`(mine\.py)` [^`]*:\n\n```\w+\n(.*?)```", PAGE, re.DOTALL)
    for name, text in dict(shown).items():
        (where / name).parent.mkdir(parents=True, exist_ok=True)
        (where / name).write_text(text)
    (where / "my_lab" / "__init__.py").touch()
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in sys.modules if name.partition(".")[0] == "my_lab"]:
            patch.delitem(sys.modules, name)  # of another guide
        patch.syspath_prepend(where)
        found = {command: answer(small(shlex.split(command)), where) for command in COMMANDS}
        for name in [name for name in sys.modules if name.partition(".")[0] == "my_lab"]:
            del sys.modules[name]
    return found


def test_every_command_of_the_tutorial_ends_as_the_page_says(answers):
    failing = (*REFUSED, "outputs/wild")
    for command, (status, _, error) in answers.items():
        expected = 3 if "evaluate" in command else 0
        if command.endswith(failing):
            assert status not in (0, 3), command
            assert error.startswith("error: "), (command, error)
        else:
            assert status == expected, (command, error)


def test_the_errors_of_the_tutorial_are_those_of_the_commands(answers):
    refused = [error for command, (_, _, error) in answers.items() if command.endswith(REFUSED)]
    assert len(refused) == len(REFUSED)
    for error in refused:
        assert error in PAGE


def test_the_samples_of_the_tutorial_score_what_the_page_shows(answers):
    (out,) = [out for command, (_, out, _) in answers.items() if "evaluate" in command]
    assert out in PAGE


def test_the_own_target_of_the_tutorial_says_what_it_does_not_know(answers):
    (out,) = [out for command, (_, out, _) in answers.items() if "target=cube extensions" in command.replace("'", "")]
    lines = [line for line in out.splitlines() if line.startswith("not measured")]
    for line in re.findall(r"^not measured.*$", PAGE, re.MULTILINE):
        assert line.rpartition(" and ")[0].partition(",")[0] in {each.partition(",")[0] for each in lines}
        assert any(each.startswith(line.partition(":")[0]) for each in lines), line

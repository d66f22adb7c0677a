"""A user: somebody who types commands in a folder of their own, and reads what comes back."""

import contextlib
import io
import shlex
import sys

from helpers import answer_here

from scorelab import cli


class User:
    """folder: where the commands are typed. small: overrides of a small main job. out, err: what the last command
    printed."""

    def __init__(self, folder, small):
        self.folder, self.small, self.out, self.err = folder, small, "", ""

    def types(self, line: str, quick: bool = False, status: int = 0) -> str:
        """Type one command line, in the tests' own process, and return what it printed.

        quick: whether the small budgets of the tests are added to a run. status: what the command has to end with.
        """
        program, *words = shlex.split(line)
        if program == "python":
            assert words.pop(0) == "run.py"
            done = answer_here(*words, *self._budgets(words, quick), cwd=self.folder)
        else:
            assert program == "scorelab"
            done = self._scorelab(words)
        self.out, self.err = done["out"], done["err"]
        assert done["status"] == status, f"{line}: status {done['status']}\n{self.out}\n{self.err}"
        assert "Traceback" not in self.out + self.err, f"{line}\n{self.out}\n{self.err}"
        return self.out + self.err

    def _budgets(self, words, quick):
        """The small budgets that the command does not set itself, and no key of an option that it chooses itself."""
        own = {word.partition("=")[0] for word in words}
        left = [word for word in self.small if not own & {word.partition("=")[0], word.partition(".")[0]}]
        return left if quick else []

    def _scorelab(self, words):
        out, err, argv = io.StringIO(), io.StringIO(), sys.argv
        sys.argv, status = ["scorelab", *words], 0
        try:
            with contextlib.chdir(self.folder), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                cli.main()
        except SystemExit as end:
            status = end.code or 0
            if isinstance(status, str):
                err.write(status)
                status = 1
        finally:
            sys.argv = argv
        return {"status": status, "out": out.getvalue(), "err": err.getvalue()}

    @property
    def last_line(self) -> str:
        return self.out.strip().splitlines()[-1]

    def finds(self, pattern: str):
        """The paths below the folder that fit a pattern, in order."""
        return sorted(self.folder.glob(pattern))

"""What the documentation shows works as it stands."""

import json
import re
import sys

import numpy
import pytest
from helpers import ROOT, answer_here

from scorelab.claims.claim import REGISTRY


def blocks(name, language):
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / name).read_text(), re.DOTALL)


GUIDE = "docs/extending.md"


def block_with(words, language):
    """The one block of the guide that has these words."""
    (found,) = [block for block in blocks(GUIDE, language) if words in block]
    return found


@pytest.fixture
def run_py(tmp_path, monkeypatch):
    """The command line in the folder of somebody whose packages can be imported, and are forgotten afterwards."""
    monkeypatch.syspath_prepend(tmp_path)

    def forget():
        for name in [name for name in sys.modules if name.partition(".")[0] in ("my_lab", "my_claims")]:
            del sys.modules[name]

    def run(*arguments, into="here"):
        done = answer_here(*arguments, f"hydra.run.dir={into}", cwd=tmp_path)
        assert done["status"] == 0, done
        return done["out"]

    forget()  # other tests have a my_lab too
    yield run
    forget()
    REGISTRY.pop("S5-01", None)


def test_the_network_the_target_the_sampler_and_the_grid_of_the_guide_run_together(small, tmp_path, run_py):
    lab = tmp_path / "my_lab"
    lab.mkdir()
    (lab / "__init__.py").write_text("")
    for group, module, name, words in (
        ("denoiser", "networks", "mlp", "class MLP"),
        ("target", "targets", "corners", "class Corners"),
        ("sampler", "samplers", "two_slopes", "class TwoSlopes"),
        ("grid", "grids", "power", "class Power"),
    ):
        (lab / "conf" / group).mkdir(parents=True)
        (lab / f"{module}.py").write_text(block_with(words, "python"))
        (lab / "conf" / group / f"{name}.yaml").write_text(block_with(f"my_lab.{module}.", "yaml"))
    mine = ["--config-dir", "my_lab/conf", "target=corners", "sampler=two_slopes", "grid@schedule.grid=power"]
    small = [override for override in small if not override.startswith("denoiser.")]
    run_py(*mine, "schedule.grid.power=1.5", "denoiser=mlp", "extensions=[my_lab]", *small)
    missing = json.loads((tmp_path / "here" / "metrics.json").read_text())["not_measured"]
    assert "projection.w1" in missing
    assert "path_kl.total" not in missing

    run_py(*mine, "denoiser=exact", "extensions=[my_lab]", *small, into="exact")
    corners = numpy.load(tmp_path / "exact" / "samples.npy")
    assert numpy.abs(corners).mean() == pytest.approx(1, abs=0.02)
    assert numpy.abs(corners.mean()) < 5 / corners.size**0.5


def test_the_parts_of_the_readme_stand_alone():
    namespace = {}
    exec(blocks("README.md", "python")[2], namespace)
    assert namespace["x"].shape == (1000, 128)


def test_the_parts_of_the_page_of_spins_stand_alone():
    namespace = {}
    for block in blocks("docs/spins.md", "python"):
        exec(block, namespace)
    assert float(namespace["target"].sums.means(namespace["fields"])[0, 4]) == 1.0


def test_every_link_of_the_documentation_leads_somewhere():
    for page in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]:
        for link in re.findall(r"\]\((?!http)([^)#]+)\)", page.read_text()):
            assert (page.parent / link).exists(), f"{page}: {link}"


def test_every_option_is_named_in_the_readme():
    text = (ROOT / "README.md").read_text()
    for path in sorted((ROOT / "conf").glob("*/*.yaml")):
        if path.parent.name != "study":  # a study has a page of its own
            assert f"`{path.stem}`" in text, path


def test_the_claim_of_the_guide_holds(tmp_path, run_py):
    lab = tmp_path / "my_claims"
    lab.mkdir()
    (lab / "__init__.py").write_text("import my_claims.claims")
    (lab / "claims.py").write_text(block_with("S5-01", "python"))
    assert "1 holds" in run_py("study=claims", "claims.only=[S5]", "extensions=[my_claims]")


def test_every_test_that_the_docs_name_is_there():
    known = set(re.findall(r"^def (test_\w+)", "".join(path.read_text() for path in ROOT.glob("tests/*.py")), re.M))
    for path in ROOT.glob("docs/**/*.md"):
        named = set(re.findall(r"`(?:[\w/.]*::)?(test_\w+)[`\[]", path.read_text()))
        assert named <= known, f"{path.name}: {sorted(named - known)}"


def test_the_page_of_claims_has_every_claim_as_it_is_declared():
    from scorelab.claims.registry import every_claim
    from scorelab.markdown import text as escaped

    page = (ROOT / "docs" / "claims.md").read_text()
    for claim in every_claim().values():
        assert f"| {claim.recorded} | {claim.fault or ''} | [{claim.id}](#{claim.id.lower()}) |" in page
        assert f"> {escaped(claim.statement)}\n" in page, claim.id
        assert claim.corrected is None or f"Corrected: {escaped(claim.corrected)}\n" in page, claim.id


def test_every_claim_that_the_docs_name_is_there():
    from scorelab.claims.registry import every_claim

    for path in ROOT.glob("docs/**/*.md"):
        named = set(re.findall(r"\bS[0-4]-\d\d\b", path.read_text()))
        assert named <= set(every_claim()), path


def test_every_study_has_its_page_and_every_page_its_study():
    studies = {path.parent.name for path in (ROOT / "src" / "scorelab" / "studies").glob("*/__init__.py")}
    assert {path.stem for path in (ROOT / "docs" / "studies").glob("*.md")} == studies


def test_every_claim_stands_on_the_page_of_its_subject_with_its_verdict():
    from scorelab.claims.registry import every_claim

    faults = {None: "", "misprint": ", a misprint", "error": ", an error"}
    for claim in every_claim().values():
        subject = claim.measure.__module__.removeprefix("scorelab.studies.").partition(".")[0]
        row = f"| [{claim.id}](../claims.md#{claim.id.lower()}) | {claim.recorded}{faults[claim.fault]} |"
        assert row in (ROOT / "docs" / "studies" / f"{subject}.md").read_text(), claim.id

"""What the documentation shows works as it stands."""

import re
import subprocess
import sys

from test_cli import ROOT


def blocks(name, language):
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / name).read_text(), re.DOTALL)


def test_the_network_of_the_extension_guide_runs(small, tmp_path):
    lab = tmp_path / "my_lab"
    (lab / "conf" / "denoiser").mkdir(parents=True)
    (lab / "__init__.py").write_text("")
    (lab / "networks.py").write_text(blocks("docs/extending.md", "python")[0])
    (lab / "conf" / "denoiser" / "mlp.yaml").write_text(blocks("docs/extending.md", "yaml")[0])
    small = [override for override in small if not override.startswith("denoiser.")]
    command = [sys.executable, ROOT / "run.py", "--config-dir", "my_lab/conf", "denoiser=mlp", "extensions=[my_lab]"]
    environment = {"PYTHONPATH": str(tmp_path), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        [*command, *small, "hydra.run.dir=here"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "here" / "metrics.json").is_file()


def test_the_parts_of_the_readme_stand_alone():
    namespace = {}
    exec(blocks("README.md", "python")[1], namespace)
    assert namespace["x"].shape == (1000, 128)


def test_every_link_of_the_documentation_leads_somewhere():
    for page in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]:
        for link in re.findall(r"\]\((?!http)([^)#]+)\)", page.read_text()):
            assert (page.parent / link).exists(), f"{page}: {link}"


def test_every_option_is_named_in_the_readme():
    text = (ROOT / "README.md").read_text()
    for path in sorted((ROOT / "conf").glob("*/*.yaml")):
        assert f"`{path.stem}`" in text, path


def test_the_claim_of_the_extension_guide_holds(tmp_path):
    lab = tmp_path / "my_claims"
    lab.mkdir()
    (lab / "__init__.py").write_text("import my_claims.claims")
    (lab / "claims.py").write_text(blocks("docs/extending.md", "python")[1])
    command = [sys.executable, ROOT / "run.py", "study=claims", "claims.only=[S5]", "extensions=[my_claims]"]
    environment = {"PYTHONPATH": str(tmp_path), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        [*command, "hydra.run.dir=here"], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "1 holds" in done.stdout


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
    for name in studies:
        assert (ROOT / "README.md").read_text().count(f"](docs/studies/{name}.md)") == 1, name


def test_every_claim_stands_on_the_page_of_its_subject_with_its_verdict():
    from scorelab.claims.registry import every_claim

    faults = {None: "", "misprint": ", a misprint", "error": ", an error"}
    for claim in every_claim().values():
        subject = claim.measure.__module__.removeprefix("scorelab.studies.").partition(".")[0]
        row = f"| [{claim.id}](../claims.md#{claim.id.lower()}) | {claim.recorded}{faults[claim.fault]} |"
        assert row in (ROOT / "docs" / "studies" / f"{subject}.md").read_text(), claim.id

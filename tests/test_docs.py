"""What the documentation shows works as it stands."""

import re
import shlex

from helpers import ROOT, blocks, with_values

from scorelab.lab.config import check

#: commands that the tutorial shows as refused
REFUSED = ("    python run.py target.p=1.2\n", "    python run.py target=two_mode\n")


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


def test_every_command_of_the_documentation_is_a_legal_configuration():
    """Commands of new runs; those of a directory, a sweep and a folder of one's own need more than the checkout."""
    needs = re.compile(r"outputs/|my_lab|--help|last|DIR|PATH|/data|\.\.\.|-m |npy:|hydra/")
    commands = {}
    for page in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]:
        text = re.sub(r" *\\\n +", " ", page.read_text())
        for line in re.findall(r"^    python run\.py +([^#\n]+)", text, re.M):
            if not needs.search(line) and f"    python run.py {line.strip()}\n" not in REFUSED:
                commands.setdefault(line.strip(), page)
    assert len(commands) > 80
    for command, page in commands.items():
        words = shlex.split(command)
        # an experiment and a group in another place set values that later words change: Hydra composes all words there
        whole = any(word[0] in "+~" or "@" in word for word in words)
        groups = words if whole else [word for word in words if (ROOT / "conf" / word.partition("=")[0]).is_dir()]
        try:
            check(with_values(*(word for word in words if word not in groups), groups=groups))
        except Exception as error:
            error.add_note(f"{page}: python run.py {command}")
            raise


def test_every_option_is_named_in_the_readme():
    text = (ROOT / "README.md").read_text()
    for path in [*(ROOT / "conf").glob("*/*.yaml"), *(ROOT / "conf" / "target").glob("*/*.yaml")]:
        group, _, name = path.relative_to(ROOT / "conf").with_suffix("").as_posix().partition("/")
        if group != "study":  # a study has a page of its own
            assert f"`{name}`" in text, path


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


def test_a_source_is_cited_by_its_name_and_its_file_is_named_in_the_bibliography_alone():
    from scorelab.claims.claim import SEEDS

    page = (ROOT / "docs" / "bibliography.md").read_text()
    folders = [ROOT / name for name in ("src", "conf", "docs", "tests", "scripts")]
    texts = [
        path for folder in folders for path in folder.rglob("*") if path.suffix in (".py", ".md", ".yaml", ".html")
    ]
    named = [path for path in [ROOT / "README.md", *texts] if re.search(r"\b00\d_[0-9a-f]{16}", path.read_text())]
    assert [path.name for path in named] == ["bibliography.md"]
    for name, _ in SEEDS.values():
        assert len(re.findall(rf"^\| {re.escape(name)}\b.*`00\d_[0-9a-f]{{16}}\.txt` \|$", page, re.M)) == 1, name


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

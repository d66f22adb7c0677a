"""The documentation site: it builds without a broken link, shows what the pages say, and loads nothing of others."""

import difflib
import html
import os
import re
import subprocess
import sys

import pytest
from helpers import ROOT
from markdown_it import MarkdownIt

PAGES = sorted((ROOT / "docs").rglob("*.md"))


@pytest.fixture(scope="session")
def site(tmp_path_factory):
    """The folder of the site, built as `make site` does; strict, as mkdocs.yml says."""
    where = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--config-file", str(ROOT / "mkdocs.yml")]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run([*command, "--site-dir", str(where)], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return where


def built(site, page):
    return (site / page.relative_to(ROOT / "docs").with_suffix(".html")).read_text()


def words(markup):
    inline = re.sub(r"</?(code|em|strong|a|span)\b[^>]*>", "", markup)
    return html.unescape(re.sub(r"<[^>]+>", " ", inline)).replace("¶", " ").split()


def test_a_page_of_the_site_has_the_words_that_a_code_host_shows(site):
    renderer = MarkdownIt("commonmark", {"html": False}).enable("table")
    for page in PAGES:
        (article,) = re.findall(r"<article\b[^>]*>(.*)</article>", built(site, page), re.DOTALL)
        shown, expected = words(article), words(renderer.render(page.read_text()))
        if shown != expected:
            differences = [line for line in difflib.ndiff(expected, shown) if line[0] in "+-"]
            pytest.fail(f"{page.relative_to(ROOT)}: {differences[:10]}")


def test_no_page_of_the_site_loads_anything_from_elsewhere(site):
    for path in site.rglob("*.html"):
        loaded = re.findall(
            r"<(?:script|link|img|iframe|source)\b[^>]*\b(?:src|href)=[\"']?([^\"' >]+)", path.read_text()
        )
        assert [name for name in loaded if re.match(r"(https?:)?//", name)] == [], path
    for path in site.rglob("*.css"):
        assert not re.search(r"(@import|url\()\s*[\"']?(https?:)?//", path.read_text()), path


def test_the_site_begins_with_the_tutorial_the_glossary_and_the_questions(site):
    index = built(site, ROOT / "docs" / "index.md")
    places = [index.index(f'href="{name}.html"') for name in ("tutorial", "glossary", "questions", "metrics")]
    assert places == sorted(places)

"""What mkdocs does beside its own: Markdown of the site means what it means on a code host.

Formulas of the pages are plain text, with <x, a> and mu*, which CommonMark leaves alone. Python-Markdown takes the
first for HTML and the second for emphasis. The pages have no HTML, so that nothing is lost without it.
"""

import re
from pathlib import Path

from markdown.extensions import Extension


class NoHtml(Extension):
    """Markdown without raw HTML."""

    def extendMarkdown(self, md):
        md.preprocessors.deregister("html_block")
        md.inlinePatterns.deregister("html")


def on_config(config):
    """Add the extension to those of mkdocs.yml, and leave out of the navigation what is not there.

    No page is lost in this way: one that stands under another name is a page without a place, which fails.
    """
    config.markdown_extensions.append(NoHtml())
    config.nav = _present(config.nav, Path(config.docs_dir))
    return config


def _present(entries, folder):
    """The entries of a navigation whose pages are in the folder."""
    kept = []
    for entry in entries:
        ((title, place),) = entry.items()
        inner = _present(place, folder) if isinstance(place, list) else place
        if inner and (isinstance(inner, list) or (folder / inner).is_file()):
            kept.append({title: inner})
    return kept


def on_page_content(html, **_):
    """Show a bar in the code of a table as a bar: it is escaped there, as the bar would end the cell."""
    return re.sub(r"<td[^>]*>.*?</td>", lambda cell: cell[0].replace("\\|", "|"), html)

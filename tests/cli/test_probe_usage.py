"""Help and bad usage of ``circuits probe`` and ``circuits attention``."""

import os
import re
import subprocess
import sys

OTHERS = (
    *("evaluate", "export", "sweep", "verify", "train-disentangled"),
    *("train", "train star-2x5-mtp3", "train tree-4-ntp", "train dag-one-layer-injection", "train blocks-transfer"),
)
COMMANDS = [("attention",), *(("probe", name) for name in ("scores", "interventions", "adjacency", "development"))]
HELP = """
import sys
from circuits.cli import main
for words in sys.argv[1:]:
    print("COMMAND", words)
    assert main([*words.split(), "--help"]) == 0
    assert not {"jax", "matplotlib", "flax"} & set(sys.modules), words
"""


def test_help_appears_without_jax_and_says_each_thing_once():
    commands = [" ".join(words) for words in COMMANDS]
    call = [sys.executable, "-c", HELP, "probe", *commands, *OTHERS]
    printed = subprocess.run(call, capture_output=True, text=True, check=True, env={**os.environ, "COLUMNS": "120"})
    texts = dict(zip(["probe", *commands, *OTHERS], re.split(r"COMMAND .*\n", printed.stdout)[1:], strict=True))
    for name in commands:
        options = re.findall(r"^│ (--[a-z-]+)", texts[name], re.MULTILINE)
        assert "--out" in options
        assert len(options) == len(set(options)), options
        for option in options:
            assert len(re.findall(rf"^\W*{option[2:].replace('-', '[-_]')}:", texts[name], re.MULTILINE)) == 0
        assert f"Example: circuits {name} " in " ".join(texts[name].split())
    for name, text in texts.items():
        for part in ("{None}", "default: None", "``", "Args:", "Raises", "ValueError", "Returns"):
            assert part not in text, (name, part)
    assert re.search(r"--examples INT +maximum number of problems; by default 4096", texts["evaluate"])
    assert "CHECKPOINT" in texts["evaluate"].splitlines()[0]
    assert all(name.split()[1] in texts["probe"] for name in commands[1:])


def test_bad_usage_names_the_option(refused, pairs, text, run, language, tmp_path, tmp_path_factory):
    (tmp_path / "file").touch()
    out = tmp_path / "out"
    lonely = tmp_path_factory.mktemp("lonely") / "run"
    (lonely / "checkpoints").mkdir(parents=True)
    (lonely / "config.json").write_bytes((run / "config.json").read_bytes())
    os.symlink(run / "checkpoints" / "2", lonely / "checkpoints" / "2")
    for command in COMMANDS:
        checkpoint = run if command[-1] == "development" else pairs
        refused("circuits: out: must be a folder to write in", *command, checkpoint, "--out", tmp_path / "file")
        refused("--out", *command, checkpoint)
    scores, interventions, development = (("probe", name) for name in ("scores", "interventions", "development"))
    for message, *arguments in (
        ("checkpoint: must exist, or be the name of a shipped checkpoint", *scores, tmp_path / "none"),
        ("config.json: must be the config of a run", *development, pairs),
        ("run: must hold at least 2 checkpoints: train with --keep-every", *development, lonely),
        ("seed: must be one of [5, 6], got 4", *development, run, "--seed=4"),
        ("examples: must be an integer at least 1, got 0", *development, run, "--examples=0"),
        ("examples: must be an integer at least 2, got 1", *scores, pairs, "--examples=1"),
        ("examples: must be an integer at least 2, got 1", *interventions, pairs, "--examples=1"),
        ("token: must be an integer between 0 and 1, got 2", *scores, pairs, "--token=2"),
        ("token: must be an integer between 0 and 1, got -1", *interventions, pairs, "--token=-1"),
        ("token: must not be that of the start, which all paths share, got 0", *interventions, text, "--token=0"),
        ("token: must be left out for a language model, got 1", *scores, language, "--token=1"),
        ("level: must be at least 0.005 for a planning model, got 1e-07", *scores, pairs, "--level=1e-7"),
        ("level: must lie between 0 and 1, got 1.5", *scores, language, "--level=1.5"),
        ("length: must be left out for a planning model, got 5", *scores, pairs, "--length=5"),
        ("length: must be an integer between 1 and 7, got 8", *scores, language, "--length=8"),
        ("length: must be an integer between 1 and 7, got 0", *scores, language, "--length=0"),
        ("step: must be left out", *scores, pairs, "--step=2"),
        ("must be a model trained on planning problems, got 'gpt'", *interventions, language),
    ):
        refused(message, *arguments, "--out", out)
    refused("scores", "probe")
    refused("Unrecognized options: score", "probe", "score")

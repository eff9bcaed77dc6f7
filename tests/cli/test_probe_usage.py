"""``circuits probe``: bad usage names the argument."""

import os


def test_bad_usage_names_the_argument(refused, pairs, text, run, language, tmp_path, tmp_path_factory):
    (tmp_path / "file").touch()
    out = tmp_path / "out"
    lonely = tmp_path_factory.mktemp("lonely") / "run"
    (lonely / "checkpoints").mkdir(parents=True)
    (lonely / "config.json").write_bytes((run / "config.json").read_bytes())
    os.symlink(run / "checkpoints" / "2", lonely / "checkpoints" / "2")
    folder = "circuits: out: must be a folder to write in, got"
    for command, checkpoint in (("scores", pairs), ("interventions", pairs), ("development", run)):
        refused(folder, "probe", command, checkpoint, "--out", tmp_path / "file")
        refused(folder, "probe", command, checkpoint, "--out", tmp_path / "file" / "below")
        refused("--out", "probe", command, checkpoint)
    least, one = "examples: must be an integer at least", "--examples=1"
    scores, interventions = ("probe", "scores"), ("probe", "interventions")
    for message, *arguments in (
        ("checkpoint: must be a folder: a run, or a saved model", *scores, tmp_path / "none"),
        ("checkpoint: must be a folder: a run, or a saved model", *interventions, tmp_path / "none"),
        ("config.json: must be the config of a run", "probe", "development", tmp_path / "none"),
        ("config.json: must be the config of a run", "probe", "development", pairs),
        ("run: must hold at least 2 checkpoints: train with --keep-every", "probe", "development", lonely),
        ("seed: must be one of [5, 6], got 4", "probe", "development", run, "--seed=4"),
        (f"{least} 1, got 0", "probe", "development", run, "--examples=0"),
        (f"{least} 2, got 1", *scores, pairs, one),
        (f"{least} 2, got 1", *scores, language, one),
        (f"{least} 2, got 1", *interventions, pairs, one),
        ("token: must be an integer between 1 and 2, got 3", *scores, pairs, "--token=3"),
        ("token: must be an integer between 1 and 2, got 0", *interventions, pairs, "--token=0"),
        ("token: must not be that of the start, which is the same in twins, got 1", *interventions, text, "--token=1"),
        ("token: must be left out for a language model, got 1", *scores, language, "--token=1"),
        ("level: must be at least 0.005 and below 1, got 1e-07", *scores, pairs, "--level=1e-7"),
        ("length: must be left out for a model of planning problems, got 5", *scores, pairs, "--length=5"),
        ("level: must lie between 0 and 1, got 1.5", *scores, language, "--level=1.5"),
        ("length: must be an integer between 1 and 7, got 8", *scores, language, "--length=8"),
        ("length: must be an integer between 1 and 7, got 0", *scores, language, "--length=0"),
        ("step: must be left out for a saved model, which holds one, got 2", *scores, pairs, "--step=2"),
        ("checkpoints: must hold a whole one", *interventions, run, "--step=3"),
        ("must be a model trained on planning problems here, got 'gpt'", *interventions, language),
    ):
        refused(message, *arguments, "--out", out)
    refused("scores", "probe")
    refused("Unrecognized options: score", "probe", "score")

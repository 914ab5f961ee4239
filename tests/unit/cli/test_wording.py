"""Errors of the command line: one line each, with the option, the value, what is wanted and what is near."""

from pathlib import Path

import pytest

from vov_lightning.cli import decode, edit, export, fit, info, scale
from vov_lightning.cli import eval as evaluation
from vov_lightning.cli.words import with_clip

MODULES = {"fit": fit, "decode": decode, "edit": edit, "scale": scale, "info": info, "export": export}
MODULES["eval"] = evaluation

GOLDEN = Path(__file__).parents[2] / "golden" / "v1"
FILE = str(GOLDEN / "image.vov")
CONFIG = "--config=nano.yaml"


def line_of(capsys, name: str, *args: str) -> str:
    """The one line that ``vov-<name>`` prints when it refuses ``args``."""
    try:
        status = MODULES[name].main(list(args))
    except SystemExit as stop:
        status = stop.code
    assert status in (1, 2)
    lines = [line for line in capsys.readouterr().err.splitlines() if line != "Seed set to 0"]
    assert len(lines) == 1, lines
    return lines[0]


@pytest.mark.parametrize(
    ("name", "args", "said"),
    [
        ("fit", [CONFIG, "--model.adapter.kk=5"], "--model.adapter.kk is no option; did you mean --model.adapter.k"),
        ("fit", [CONFIG, "--lmbda", "3"], "--lmbda is no option; did you mean --stage2.lmbda?"),
        ("fit", [CONFIG, "--model.adapter.k=abc"], "--model.adapter.k: 'abc' is not a whole number or null; see"),
        ("fit", [CONFIG, "--data.fit=cropp"], "'cropp' is not one of resize, crop, pad, scale or null; did you mean"),
        ("fit", [CONFIG, "--model.base=nanoo"], "did you mean nano?"),
        ("fit", [CONFIG, "--model.base=torch.nn.Linear"], "--model.base: 'torch.nn.Linear' is no BaseModel"),
        ("fit", [CONFIG, "--model.base.wieghts=x"], "Nano has no setting 'wieghts'; see --model.base.help"),
        ("fit", [CONFIG, "--model.objective=FlowMatchin"], "did you mean FlowMatching?"),
        ("fit", [CONFIG, "--model.objective=no.such.Thing"], "'no.such.Thing' cannot be used: No module named 'no'"),
        ("fit", [CONFIG, "--trainer=foo"], "--trainer: 'foo' is no YAML file of its settings; give one of them"),
        ("fit", [CONFIG, "--model.betas=1"], "--model.betas: '1' is not a list such as [a, b]"),
        ("fit", [CONFIG, "--overwrite=maybe"], "--overwrite: 'maybe' is not true or false"),
        ("fit", [CONFIG, "--stage2.lmbda"], "--stage2.lmbda needs a value"),
        ("fit", ["--data.path=x.mp4"], "no base model is given; add --config nano.yaml"),
        ("fit", ["--config=nanoo.yaml"], "nanoo.yaml is no file, here or among the shipped ones; did you mean nano"),
        ("fit", ["nano.yaml"], "nano.yaml is a configuration and no clip; give --config nano.yaml"),
        ("fit", ["x.vov", CONFIG], "x.vov is compressed already"),
        ("fit", ["a.mp4", "b.mp4", CONFIG], '--set FOLDER for a fit of each, or --data.paths "[a.mp4, b.mp4]"'),
        ("fit", ["gone.mp4", CONFIG], "--data.path gone.mp4 does not exist"),
        ("fit", ["--dry_run", "gone.mp4", CONFIG], "--data.path gone.mp4 does not exist"),
        ("fit", ["--data", "gone.mp4", CONFIG], "--data.path gone.mp4 does not exist"),
        ("fit", [CONFIG, "--trainer.accelerator=gpuu"], "--trainer.accelerator gpuu with"),
        ("fit", [CONFIG, "--seed_everything=-1"], "seed_everything=-1 is outside 0 .. 2^32 - 1"),
        ("decode", [FILE], "--output is missing"),
        ("decode", [FILE, "-o", "-"], "standard output is not written to; name a file such as clip.mp4"),
        ("decode", [FILE, "-o", ".mp4"], ".mp4 is an ending without a name; write clip.mp4"),
        ("decode", [FILE, "-o", "x.png", "--devce=cpu"], "--devce is no option; did you mean --device?"),
        ("decode", [FILE, "-o", "x.png", "--device=nowhere", "--base=nano"], "device=nowhere cannot be used"),
        ("decode", [FILE, "-o", "x.png", "--base.weights=x"], "--base: needs a value of its own before --base.weights"),
        ("edit", [FILE, "-o", "x.png", "--frames=x"], "--frames: 'x' is not a whole number or null"),
        ("scale", [FILE, "-o", "x.vov", "--source=gone.mp4", "--scaling.bits=9"], "--source gone.mp4 does not exist"),
        ("scale", [FILE, "-o", "x.mp4", "--keep_steps=0"], "output=x.mp4 is no .vov file, which is what is written"),
        ("export", [FILE, "-o", "x", "--format=pft"], "--format: 'pft' is not one of peft, diffusers"),
        ("info", [FILE, "--jsn"], "--jsn is no option; did you mean --json?"),
        ("info", ["--base=nanoo"], "did you mean nano?"),
        ("eval", ["--fit=cropp"], "--fit: 'cropp' is not one of resize, crop, pad, scale or null; did you mean crop?"),
        ("eval", ["gone"], "gone does not exist; wanted a .vov file"),
        ("eval", ["--diagnostics", "gone"], "gone does not exist; wanted a .vov file"),
        ("eval", ["--accelerator=gpuu"], "--accelerator gpuu with --devices 1 cannot be used"),
    ],
)  # fmt: skip
def test_refused_in_one_line(name, args, said, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert said in line_of(capsys, name, *args)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "holds nothing, wanted settings by name"),
        (b"- a\n- b\n", "holds a list, wanted settings by name"),
        (b"a: b: c\n", "is no YAML file (mapping values are not allowed here"),
        (b"\xff\xfe\x97", "is no YAML file ("),
        (b"a: &a [*a]\n", "is no YAML file (Circular reference detected)"),
        (b"data: 5\n", "holds data: 5, wanted settings by name below it"),
        (b"stage1:\n", "holds stage1: None, wanted settings by name below it"),
        (b"model:\n  base: nano\n  sampler: 5\n", "model.sampler=5, wanted settings by name below it"),
        (b"modle:\n  seed: 5\n", "--modle.seed is no option; did you mean --model.seed"),
        (b"model:\n  adapter:\n    kk: 5\n", "--model.adapter.kk is no option; did you mean --model.adapter.k"),
        (b"model:\n  adapter:\n    k: abc\n", "--model.adapter.k: 'abc' is not a whole number or null"),
        (b"model:\n  base: nanoo\n", "did you mean nano?"),
        (b"model:\n  base:\n    class_path: nano\n    init_args:\n      wieghts: x\n", "Nano has no setting 'wieghts'"),
    ],
)
def test_configurations_that_cannot_be_used(content, said, tmp_path, capsys):
    (tmp_path / "bad.yaml").write_bytes(content)
    assert said in line_of(capsys, "fit", f"--config={tmp_path / 'bad.yaml'}")


class TestDestinations:
    """``-o`` is checked before the file's base model is loaded, which `unloadable` would betray."""

    @pytest.fixture(autouse=True)
    def unloadable(self, monkeypatch):
        def load(*_, **__):
            raise AssertionError("a base model was loaded")

        monkeypatch.setattr("vov_lightning.bases.load_base", load)
        monkeypatch.setattr("vov_lightning.bases.nano.model.Nano.__init__", load)

    @pytest.mark.parametrize(
        ("name", "more"),
        [
            ("decode", []),
            ("decode", ["--base=nano"]),
            ("edit", ["--prompt=blue"]),
            ("edit", ["--prompt", "blue", "red"]),
            ("scale", ["--source=/", "--scaling.bits=9"]),
            ("export", ["--format=peft"]),
            ("export", ["--format=diffusers"]),
        ],
    )
    def test_nothing_can_be_written_below_a_file(self, name, more, tmp_path, capsys):
        (tmp_path / "file").touch()
        output = tmp_path / "file" / {"scale": "x.vov", "export": "x.safetensors"}.get(name, "x.png")
        line = line_of(capsys, name, FILE, "-o", str(output), *more)
        assert f"{output} cannot be written ({tmp_path / 'file'} is a file, not a folder)" in line

    def test_a_folder_with_other_things_is_kept(self, tmp_path, capsys):
        (tmp_path / "notes.txt").touch()
        assert "holds notes.txt, which replacing the folder would delete" in line_of(
            capsys, "decode", FILE, "-o", str(tmp_path)
        )

    def test_an_existing_export_is_kept(self, tmp_path, capsys):
        assert "exists; choose another name" in line_of(capsys, "export", FILE, "-o", str(tmp_path), "--format=peft")


@pytest.mark.parametrize(
    ("args", "wanted"),
    [
        (["--data={path: a.mp4}"], ["--data={path: a.mp4}"]),
        (["--data", "mine.yaml"], ["--data=mine.yaml"]),
        (["--data.path", "a.mp4", "--name", "b"], ["--data.path=a.mp4", "--name", "b"]),
        (["--stage2.lmbda", "-1", "a.mp4"], ["--stage2.lmbda", "-1", "--data.path=a.mp4"]),
        (["--print_config", "a.mp4"], ["--print_config", "--data.path=a.mp4"]),
        (["--name"], ["--name"]),
    ],
)
def test_a_clip_needs_no_option(args, wanted):
    assert with_clip(args) == wanted


def test_values_are_checked_before_the_members_of_a_set(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "clips").mkdir()
    assert "steps=0 is below 1" in line_of(capsys, "fit", CONFIG, "--set=clips", "--model.sampler.steps=0")


def test_two_runs_of_one_name_do_not_mix(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "a").mkdir(parents=True)
    (tmp_path / "runs" / "a" / "config.yaml").write_text("stage2: {}\ndata: {path: x/a.mp4}\n")
    (tmp_path / "a.mov").touch()
    assert "choose another --name" in line_of(capsys, "fit", CONFIG, "a.mov")

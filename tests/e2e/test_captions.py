"""A fit takes its caption from the command line, a file or a captioner; the file stores it, a resumed fit keeps it."""

import pytest
from support import PowerCut

from vov_lightning.bitstream import VovFile
from vov_lightning.captioners import endpoint as endpoint_module
from vov_lightning.fitting import run as run_module
from vov_lightning.fitting.module import VOVModule

KEY = "sk-secret-3141592653"


@pytest.fixture
def cut_at(monkeypatch, run_fit):
    """``cut_at(step, *arguments)``: a fit that loses power in ``step``."""
    monkeypatch.setattr(run_module, "CHECKPOINT_EVERY", 1)
    training_step = VOVModule.training_step

    def cut(step, *arguments):
        def step_or_cut(module, batch, batch_idx):
            if module.global_step == step:
                raise PowerCut
            return training_step(module, batch, batch_idx)

        with monkeypatch.context() as patch:
            patch.setattr(VOVModule, "training_step", step_or_cut)
            with pytest.raises(PowerCut):
                run_fit(*arguments)

    return cut


@pytest.fixture
def asking(endpoint, monkeypatch):
    """Arguments of a fit that asks ``endpoint``."""
    monkeypatch.setenv("VLM_KEY", KEY)
    return [
        "--data.captioner=EndpointCaptioner",
        f"--data.captioner.base_url={endpoint.url}",
        "--data.captioner.model=m",
        "--data.captioner.api_key_env=VLM_KEY",
    ]


def error_line(capsys) -> str:
    return capsys.readouterr().err.strip().splitlines()[-1]


def test_the_captioners_answer_is_stored(run_fit, asking, endpoint, tmp_path, capsys):
    endpoint.say("dim, blue,\nslow")
    assert run_fit(*asking) == 0
    folder = tmp_path / "runs" / "ramp"
    assert VovFile.open(folder / "ramp.vov").caption == "dim, blue, slow"
    assert (folder / "caption.txt").read_text() == "dim, blue, slow\n"
    assert "caption: dim, blue, slow\n" in capsys.readouterr().out
    assert len(endpoint.requests) == 1
    assert "api_key_env: VLM_KEY" in (folder / "config.yaml").read_text()
    assert not [path for path in folder.rglob("*") if path.is_file() and KEY.encode() in path.read_bytes()]
    assert run_fit(*asking) == 0  # finished: nobody is asked
    assert len(endpoint.requests) == 1


def test_a_fit_without_a_vector_asks_once(run_fit, asking, endpoint):
    endpoint.say("dim, blue")
    assert run_fit(*asking, "--model.adapter.k=0", "--scaling.bits=40") == 0
    assert len(endpoint.requests) == 1


@pytest.mark.parametrize("step", [0, 4])
def test_resumed_fit_keeps_the_first_answer(step, run_fit, cut_at, asking, endpoint, tmp_path):
    endpoint.say("dim, blue")
    endpoint.say("bright, green")
    cut_at(step, *asking)
    assert run_fit(*asking) == 0
    assert len(endpoint.requests) == 1
    assert run_fit("--name=whole", "--data.caption=dim, blue") == 0
    resumed, whole = (tmp_path / "runs" / name / "ramp.vov" for name in ("ramp", "whole"))
    assert resumed.read_bytes() == whole.read_bytes()


def test_going_on_from_another_runs_checkpoint_takes_its_answer(run_fit, asking, endpoint, tmp_path):
    endpoint.say("dim, blue")
    endpoint.say("bright, green")
    assert run_fit(*asking, "--name=a") == 0
    checkpoint = tmp_path / "runs" / "a" / "checkpoints" / "last.ckpt"
    assert run_fit(*asking, "--name=b", f"--ckpt_path={checkpoint}") == 0
    assert len(endpoint.requests) == 1
    assert (tmp_path / "runs" / "b" / "caption.txt").read_text() == "dim, blue\n"


def test_overwrite_asks_again(run_fit, asking, endpoint, tmp_path):
    endpoint.say("dim, blue")
    endpoint.say("bright, green")
    assert run_fit(*asking) == 0
    assert run_fit(*asking, "--overwrite=true") == 0
    folder = tmp_path / "runs" / "ramp"
    assert VovFile.open(folder / "ramp.vov").caption == "bright, green"
    assert (folder / "caption.txt").read_text() == "bright, green\n"


def test_captioner_that_fails_leaves_no_run_folder(run_fit, asking, endpoint, tmp_path, capsys, monkeypatch):
    endpoint.fail(401, b"no such key")
    assert run_fit(*asking) == 1
    assert "CaptionError" in (line := error_line(capsys))
    assert "status 401: no such key; check the key in the environment variable VLM_KEY" in line
    monkeypatch.setattr(endpoint_module, "sleep", lambda _: None)
    endpoint.answers.clear()
    endpoint.fail(503)
    assert run_fit(*asking, "--data.captioner.retries=1") == 1
    assert "in 2 attempts" in error_line(capsys)
    monkeypatch.delenv("VLM_KEY")
    assert run_fit(*asking) == 1
    assert "api_key_env=VLM_KEY is not set" in error_line(capsys)
    assert not (tmp_path / "runs").exists()


def test_bad_setting_of_a_captioner_is_one_line_without_the_key(run_fit, asking, endpoint, tmp_path, capsys):
    assert run_fit(*asking, f"--data.captioner.api_key_env={KEY}") == 1
    error = capsys.readouterr().err
    assert "api_key_env is no name of a variable" in error.strip().splitlines()[-1]
    assert KEY not in error
    assert run_fit("--data.captioner=LocalCaptioner", "--data.captioner.model=a/b") == 1
    assert "revision=None does not pin model=a/b" in error_line(capsys)
    assert not endpoint.requests
    assert not (tmp_path / "runs").exists()


def test_caption_file(run_fit, tmp_path, capsys):
    path = tmp_path / "words.txt"
    path.write_text("dim, blue\n")
    assert run_fit(f"--data.caption_file={path}") == 0
    assert VovFile.open(tmp_path / "runs" / "ramp" / "ramp.vov").caption == "dim, blue"
    path.write_text("bright, green\n")
    assert run_fit(f"--data.caption_file={path}") == 1
    assert "caption_in_file: 'dim, blue' -> 'bright, green'" in error_line(capsys)
    path.write_text("\n")
    assert run_fit(f"--data.caption_file={path}") == 1
    assert f"caption_file={path} is empty" in error_line(capsys)


def test_caption_too_long_for_the_file_is_refused_before_the_fit(run_fit, tmp_path, capsys):
    assert run_fit(f"--data.caption={'blue ' * 1000}") == 1
    assert "5000 bytes in UTF-8, above the limit of 4096" in error_line(capsys)
    assert not (tmp_path / "runs").exists()


def test_two_captions_are_refused(run_fit, asking, tmp_path, capsys):
    path = tmp_path / "words.txt"
    path.write_text("dim, blue\n")
    assert run_fit("--data.caption=red", f"--data.caption_file={path}") == 1
    assert "caption and caption_file each give a caption; keep one of them" in error_line(capsys)
    assert run_fit(*asking, "--data.caption=red") == 1
    assert "caption and captioner each" in error_line(capsys)

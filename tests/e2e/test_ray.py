"""``--launcher ray`` on a real cluster of two nodes on this machine, one of which is killed in mid-fit."""

import json
import threading
import time

import pytest
import ray
from ray import cluster_utils
from support import files_of

from vov_lightning.cli import eval as evaluate
from vov_lightning.cli import fit, launching
from vov_lightning.fitting.interruption import Interrupted
from vov_lightning.runs.claims import read_claim

NODE = {"num_cpus": 1, "memory": 6 * 2**30, "object_store_memory": 80 * 2**20}
NAMES = ("a", "b", "c")


@pytest.fixture
def cluster(monkeypatch):
    """A cluster of two nodes with one CPU each."""
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    found = cluster_utils.Cluster(initialize_head=True, head_node_args={**NODE, "include_dashboard": False})
    try:
        found.add_node(**NODE)
        found.wait_for_nodes(timeout=120)
        yield found
    finally:
        ray.shutdown()
        found.shutdown()


@pytest.fixture
def arguments(set_arguments, tmp_path):
    """Arguments for a set of three clips whose fits take seconds; its path is relative to ``tmp_path``."""
    longer = ["--stage1.iterations=30", "--stage2.iterations=770", "--trainer.val_check_interval=800"]
    given = [*set_arguments("three", NAMES), *longer, "--set=data/three"]
    (tmp_path / "data" / "three" / "b.txt").write_text("dim, blue\n")
    return given


@pytest.mark.cluster
@pytest.mark.parametrize("shared", ["null", "false"])
def test_a_node_that_dies_in_mid_fit_changes_nothing(shared, cluster, arguments, tmp_path, capfd, monkeypatch):
    """On a folder that all see, and where clips and checkpoints travel; the paths are relative."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "ray" / "three"
    killed = []

    def kill():
        deadline = time.time() + 200
        while time.time() < deadline:
            halfway = [name for name in NAMES if (folder / name / "checkpoints" / "last.ckpt").exists()]
            running = [name for name in halfway if not (folder / name / "metrics.json").exists()]
            if len(running) == 2:
                killed.extend((name, read_claim(folder / ".jobs" / f"{name}.claim")[0].pid) for name in running)
                cluster.remove_node(cluster.list_all_nodes()[-1], allow_graceful=False)
                return
            time.sleep(0.05)

    thread = threading.Thread(target=kill)
    thread.start()
    launch = ["--launcher=ray", f"--launch.address={cluster.address}", f"--launch.shared={shared}"]
    assert fit.main([*arguments, *launch, f"--runs={tmp_path / 'ray'}"]) == 0
    thread.join()
    assert len(killed) == 2
    said = capfd.readouterr().out
    assert "2 running, 1 waiting" in said
    assert "3 done" in said
    assert not (folder / ".jobs").exists()
    assert fit.main([*arguments, f"--runs={tmp_path / 'alone'}"]) == 0
    assert files_of(folder, NAMES) == files_of(tmp_path / "alone" / "three", NAMES)


@pytest.fixture
def one_node(monkeypatch):
    """Ray on this machine, connected."""
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    ray.init(num_cpus=2, include_dashboard=False, object_store_memory=NODE["object_store_memory"], log_to_driver=False)
    yield
    ray.shutdown()


@pytest.mark.cluster
def test_what_goes_wrong_and_the_evaluation_of_what_does_not(
    one_node, arguments, tiny_weights, tmp_path, capfd, monkeypatch
):
    """A clip that fails stops no other; a model that does not load stops all; a worker too large is refused."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data" / "three" / "broken.mp4").write_bytes(b"no video")
    few = ["--stage1.iterations=2", "--stage2.iterations=2", "--trainer.val_check_interval=4", "--launcher=ray"]
    fits = [*arguments, *few, f"--runs={tmp_path / 'ray'}"]
    assert fit.main([*fits, "--launch.memory_gb=1"]) == 1
    shown = capfd.readouterr()
    assert "broken failed: SignalError" in shown.out
    assert "broken failed: SignalError" in shown.err
    assert all(f"\n{name} " in shown.out for name in NAMES)
    assert fit.main([*fits, "--launch.memory_gb=1e6"]) == 1
    assert "no machine of the Ray cluster has" in capfd.readouterr().err
    assert fit.main([*fits, "--launch.memory_gb=1", f"--model.base.weights={tmp_path}", "--name=new"]) == 1
    assert "cannot be read" in capfd.readouterr().err

    common = [str(tmp_path / "ray" / "three"), "--base=nano", f"--base.weights={tiny_weights}", "--accelerator=cpu"]
    common += ["--metrics=[psnr_db, ms_ssim]", "--baselines=[indices]", "--logger=false"]
    assert evaluate.main([*common, f"--out={tmp_path / 'one'}"]) == 0
    assert evaluate.main([*common, f"--out={tmp_path / 'many'}", "--launcher=ray", "--launch.memory_gb=1"]) == 0
    assert "3 of 3 files" in capfd.readouterr().out
    one, many = (json.loads((tmp_path / name / "results.json").read_text()) for name in ("one", "many"))
    assert len(one["points"]) == 6
    for results in (one, many):
        for point in results["points"]:
            del point["encode_s"], point["decode_s"]
    assert many["points"] == one["points"]
    assert many["sets"] == one["sets"]
    assert (tmp_path / "many" / "report.html").exists()
    assert evaluate.main([*common, f"--out={tmp_path / 'far'}", "--launcher=ray", "--launch.shared=false"]) == 1
    assert "is not a folder that all machines of the cluster see" in capfd.readouterr().err


def test_a_signal_that_comes_while_ray_waits_stays_one(arguments, tmp_path, monkeypatch, capsys):
    """Ray's compiled code has no `Interrupted`; what it raises then was seen with Ray 2.60."""

    def wait(*_):
        raise SystemError("returned a result with an exception set") from Interrupted(2)

    monkeypatch.setattr(launching.rays, "cluster", wait)
    monkeypatch.chdir(tmp_path)
    assert fit.main([*arguments, "--launcher=ray"]) == 130
    assert "the same command goes on" in capsys.readouterr().err


def test_a_launcher_needs_a_set(run_fit, capsys):
    assert run_fit("--launcher=ray") == 1
    assert "--launcher ray shares a set; give --set FOLDER" in capsys.readouterr().err

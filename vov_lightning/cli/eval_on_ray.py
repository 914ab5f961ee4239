"""``vov-eval --launcher ray``: workers decode, code and measure into the cache; then one of them puts it together.

Workers share the cache in ``--out``, so all of them must see that folder. Distances between whole sets
and the tables need every clip, and figures depend on the machine too: so the last pass runs on a worker,
finds everything in the cache, and its findings come back.
"""

import atexit
import shutil
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from jsonargparse import Namespace

from vov_lightning.cli.common import given_base
from vov_lightning.errors import SettingError
from vov_lightning.evaluation.entries import Entry
from vov_lightning.evaluation.module import EvaluationModule
from vov_lightning.launch import rays
from vov_lightning.launch.config import LaunchConfig, Need
from vov_lightning.launch.parcels import Mark, marked

WORKER_BYTES = 4 * 10**9
"""Memory of a worker unless told otherwise; not an estimate: what networks and codecs take is not known before."""
FINDINGS = ("environment", "points", "unreachable", "failures", "diagnostics", "set_figures")
"""What `EvaluationModule` holds after its test."""


def evaluate_on_ray(text: str, options: Namespace, entries: list[Entry], folder: Path) -> dict[str, Any]:
    """`FINDINGS` over ``entries``, by Ray's workers.

    Args:
        text: Every setting of the command as YAML.
        options: The same, made.
        entries: What to evaluate.
        folder: Of the results.

    Raises:
        SettingError: If a worker does not see ``folder``, or there is no room for one.
        RunError: If workers die again and again.
    """
    launch: LaunchConfig = options.launch
    with rays.cluster(launch) as ray, marked(folder.resolve(), launch.shared) as mark:
        gpus = launch.gpus
        if gpus is None:
            gpus = 1 if options.accelerator != "cpu" and ray.cluster_resources().get("GPU") else 0
        memory_bytes = WORKER_BYTES if launch.memory_gb is None else int(1e9 * launch.memory_gb)
        need = Need(launch.cpus, gpus, memory_bytes)
        make = partial(worker_of, text, entries, folder, mark)
        for last, jobs in ((False, [[entry] for entry in entries]), (True, [entries])):
            bag = rays.Bag(ray, make, jobs, launch, need)
            done = 0
            for event in bag.events():
                if event is not None:
                    done += 1
                    print(f"{done} of {len(jobs)} {'passes over all' if last else 'files'}", flush=True)
                    if event.lost is not None and last:
                        raise SettingError(f"the last pass over all files failed: {event.lost}")
                    found = event.result
    return dict(found)


def worker_of(text: str, entries: list[Entry], folder: Path, mark: Mark) -> Callable[[list[Entry]], dict[str, Any]]:
    """What a worker calls for each job, a list of entries; base model and networks stay in it.

    Raises:
        SettingError: If it does not see the folder of the results.
    """
    from vov_lightning.cli import eval as evaluate

    if not mark.is_seen:
        raise SettingError(f"--out {folder} is not a folder that all machines of the cluster see; choose one that is")
    home = Path(tempfile.mkdtemp(prefix="vov-"))
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    settings = home / "settings.yaml"
    settings.write_text(text)
    parser = evaluate.parser_of()
    options = parser.instantiate(parser.parse_args([f"--config={settings}"]))
    module: EvaluationModule = evaluate.module_of(options, entries, folder, given_base(options))

    def measure(job: list[Entry]) -> dict[str, Any]:
        module.start_over(job)
        evaluate.trainer_of(options, folder).test(module, verbose=False)
        return {name: getattr(module, name) for name in FINDINGS}

    return measure

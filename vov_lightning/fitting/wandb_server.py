"""Whether W&B can log online here, found in seconds: without a key, a network or an answer it logs offline.

wandb itself retries for minutes and then raises, which would cost a whole fit.
"""

import os
import ssl
import threading
import urllib.error
import urllib.request

import wandb

PROBE_S = 3.0
"""Seconds for the server to answer at all."""
INIT_S = 8.0
"""Seconds for it to begin a run; with the log-in before it, less than 15 in all."""
UPLOAD_S = 120.0
"""Seconds for what is left to upload when a run ends; `wandb sync` uploads the rest."""
UNREACHABLE = "{} does not answer, logging offline; `wandb sync` uploads the run later"
CHOSEN_OFFLINE = ("offline", "dryrun", "disabled")
"""Values of ``WANDB_MODE`` that ask for no server."""


def reason_for_offline() -> str | None:
    """Why W&B cannot log online, and what to do about it; None where it can."""
    if os.environ.get("WANDB_MODE") in CHOSEN_OFFLINE:
        return None  # and wandb knows
    if not wandb.login(prompt=False, verify=False):
        return "no API key found, logging offline; run `wandb login` to log online"
    url = wandb.setup().settings.base_url
    return None if answers(url, PROBE_S) else UNREACHABLE.format(url)


def answers(url: str, timeout_s: float) -> bool:
    """Whether there is a server at ``url`` that says anything within ``timeout_s``, an error included."""
    found: list[bool] = []

    def ask() -> None:
        try:
            with urllib.request.urlopen(url, timeout=timeout_s):
                found.append(True)
        except urllib.error.HTTPError:
            found.append(True)
        except urllib.error.URLError as error:
            found.append(isinstance(error.reason, ssl.SSLError))  # wandb has certificates of its own
        except (OSError, ValueError):
            found.append(False)

    # In a thread: looking up a name knows no limit of time.
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(timeout_s + 1)
    return found == [True]

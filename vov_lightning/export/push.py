"""A card and the files that it names, published on the Hugging Face hub in one commit.

Nothing else of the folder leaves this machine: no checkpoints, no settings with paths in them.
"""

from pathlib import Path

from huggingface_hub import CommitOperationAdd, HfApi, get_token
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, HTTPError
from huggingface_hub.utils import validate_repo_id

from vov_lightning.errors import ExportError
from vov_lightning.export.card import CARD, Entry


def push(
    folder: Path,
    entries: list[Entry],
    card: str,
    repository: str,
    private: bool = False,
    overwrite: bool = False,
) -> str:
    """Create ``repository`` and commit ``card`` as README.md, the ``.vov`` files, and their previews.

    Args:
        folder: What the paths of ``entries`` are relative to.
        entries: The files.
        card: Markdown, from `model_card`.
        repository: ``user/name`` on the hub, of models.
        private: Whether others may not see a repository that is created here.
        overwrite: Whether an existing repository may be added to, and its card and files of these names replaced.

    Returns:
        Address of the commit.

    Raises:
        ExportError: If the name is malformed, there is no token or no network, or the hub refuses.
    """
    token = check_push(repository)
    paths = [path for entry in entries for path in (entry.path, entry.preview) if path is not None]
    operations = [CommitOperationAdd(path.as_posix(), folder / path) for path in dict.fromkeys(paths)]
    operations.append(CommitOperationAdd(CARD, card.encode()))
    api = HfApi(token=token)
    try:
        api.create_repo(repository, private=private or None, exist_ok=overwrite)
        if private and not api.repo_info(repository).private:
            raise ExportError(f"{repository} exists and is public, and --private asks for the opposite; choose another")
        return api.create_commit(repository, operations, commit_message=f"{len(entries)} .vov files").commit_url
    except HfHubHTTPError as error:
        raise ExportError(f"the hub refuses to take {repository}: {_reason(error)}") from error
    except (HTTPError, OSError) as error:
        reason = " ".join(str(error).split())
        raise ExportError(
            f"{repository} cannot be pushed, the hub at {api.endpoint} is out of reach: {reason}; go where there is "
            "network, unset HF_HUB_OFFLINE, or push the folder later with the same command and --overwrite"
        ) from error
    except ValueError as error:  # the hub's check of the card
        raise ExportError(f"the hub does not take the card of {repository}: {error}") from error


def check_push(repository: str) -> str:
    """The token to push with; to be called before anything is written.

    Raises:
        ExportError: If ``repository`` is not ``user/name``, or there is no token.
    """
    try:
        validate_repo_id(repository)
        well_formed = repository.count("/") == 1
    except HFValidationError:
        well_formed = False
    if not well_formed:
        raise ExportError(
            f"--push {repository!r} is not user/name with letters, digits, '-', '_' and '.'; for example me/my-clips"
        )
    token = get_token()
    if token is None:
        raise ExportError(
            f"there is no token of the Hugging Face hub to push to {repository} with; run `hf auth login`, or set "
            "HF_TOKEN to one with write access"
        )
    return token


def _reason(error: HfHubHTTPError) -> str:
    status = error.response.status_code
    remedies = {
        401: "the token is not valid; run `hf auth login`",
        403: "the token may not write there; take one with write access, or another user or organisation",
        409: "it exists; choose another name, or add to it with --overwrite",
    }
    said = " ".join((error.server_message or str(error)).split())
    return f"{said} (HTTP {status}){f'; {remedies[status]}' if status in remedies else ''}"

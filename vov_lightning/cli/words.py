"""What people type, as the parser takes it: a clip without an option, and flags without a value."""

from collections.abc import Iterator

from vov_lightning.errors import SettingError

FLAG_VALUES = ("true", "false", "yes", "no", "on", "off", "null")
ALONE = ("-h", "--help", "--help_all", "--print_config")
"""Options without a value."""


def with_flags(args: list[str], flags: tuple[str, ...]) -> list[str]:
    """``args`` with ``=true`` behind each of ``flags`` that no value follows, so that it takes no other word.

    Example:
        >>> with_flags(["--dry_run", "clip.mp4", "--overwrite", "false"], ("--dry_run", "--overwrite"))
        ['--dry_run=true', 'clip.mp4', '--overwrite', 'false']
    """
    after = [*args[1:], ""][: len(args)]
    return [
        f"{word}=true" if word in flags and following.lower() not in FLAG_VALUES else word
        for word, following in zip(args, after, strict=True)
    ]


def with_clip(args: list[str]) -> list[str]:
    """``args`` with ``--data.path`` before a clip that stands alone or behind ``--data``; flags have their values.

    Raises:
        SettingError: If there are several clips, or the word is no clip.

    Example:
        >>> with_clip(["my.mp4", "--config", "nano.yaml"])
        ['--config', 'nano.yaml', '--data.path=my.mp4']
        >>> with_clip(["--data", "my.mp4"])
        ['--data.path=my.mp4']
    """
    found, clips, words = [], [], iter([*_data_as_path(args)])
    for word in words:
        if word == "-" or not word.startswith("-"):
            clips.append(word)
            continue
        found.append(word)
        if "=" not in word and word not in ALONE:
            found += _value(words)
    clips += [word.removeprefix("--data.path=") for word in found if clips and word.startswith("--data.path=")]
    if len(clips) > 1:
        raise SettingError(
            f"{' and '.join(clips)} are {len(clips)} clips; give one, --set FOLDER for a fit of each, or --data.paths "
            f'"[{", ".join(clips)}]" for one vector'
        )
    for clip in clips:
        if clip == "-":
            raise SettingError("- is no clip; a file is read several times, so give its path and no pipe")
        if clip.endswith((".yaml", ".yml")):
            raise SettingError(f"{clip} is a configuration and no clip; give --config {clip}")
        if clip.endswith(".vov"):
            raise SettingError(f"{clip} is compressed already; vov-decode {clip} -o clip.mp4 decodes it")
        found.append(f"--data.path={clip}")
    return found


def _data_as_path(args: list[str]) -> list[str]:
    """``args`` with ``--data.path=`` for ``--data`` and ``--data.path``, except before settings in YAML."""
    found: list[str] = []
    words = iter(args)
    for word in words:
        name, equals, value = word.partition("=")
        if name not in ("--data", "--data.path"):
            found.append(word)
            continue
        given = [value] if equals else _value(words)
        settings = not given or given[0].startswith("{") or given[0].endswith((".yaml", ".yml"))
        found.append("=".join([name if settings else "--data.path", *given]))
    return found


def _value(words: Iterator[str]) -> list[str]:
    """The next of ``words``, if there is one."""
    return [word for word in (next(words, None),) if word is not None]

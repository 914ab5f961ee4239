"""Errors that a user can act on; each message names the setting, its value, what was wanted and the remedy."""


class VovError(Exception):
    """Base of every error that this package raises on purpose; commands print it without a traceback."""


class SettingError(VovError, ValueError):
    """A setting is out of its range."""


class SignalError(VovError, ValueError):
    """A video, image or folder of frames cannot be read, written or brought to the wanted size."""


class SignalWarning(UserWarning):
    """Something about a video, image or folder of frames that is read nonetheless, and that its owner should know."""


class BitstreamError(VovError, ValueError):
    """Bytes are not a valid ``.vov`` file, or exceed the limits that were set for reading it."""


class BaseModelError(VovError, ValueError):
    """A base model is unknown, cannot be loaded, or cannot take the requested size or caption."""


class BaseModelMismatchError(VovError, ValueError):
    """A ``.vov`` file was fitted on another base model than the one that is loaded."""


class CaptionError(VovError, RuntimeError):
    """A captioner was asked and gave no caption that can be used."""


class RunError(VovError, RuntimeError):
    """A run folder cannot be used as asked, or fitting cannot go on."""


class ClaimedError(RunError):
    """Another process works on the run."""


class MetricError(VovError, RuntimeError):
    """A figure cannot be measured: a network's weights are missing, or decoded frames and source do not match."""


class ExportError(VovError, ValueError):
    """A ``.vov`` file cannot be exported as asked, or the input is not a ``.vov`` file."""


class UnfinishedError(VovError, RuntimeError):
    """A fit stopped before the end of its schedule; it can be continued, and what it has so far is kept."""

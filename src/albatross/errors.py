"""Every error that albatross raises on purpose.

* AlbatrossError                  exit code 1
  + ConfigError (ValueError)      a setting, option or model configuration; exit code 2
  + DataError (ValueError)        text, records, corpora and shards
    - LabelError                  a label that the task does not know
  + FolderError (ValueError)      a folder that is missing, damaged or of another kind
    - WeightsError                tensors missing, unexpected or of another shape
  + TokenizerError (ValueError)   a vocabulary that cannot be trained or read
  + TrainingError (RuntimeError)  a run that cannot go on
  + MissingDependencyError (ImportError)   an extra that is not installed

A message has three parts: the rule, what was received, and the remedy. On the command line it is
one line, without traceback unless `--debug` is given. What is odd but no error is an
`AlbatrossWarning`; its message has the same three parts.
"""

from __future__ import annotations


class AlbatrossError(Exception):
    """Root of the tree; `exit_code` is what the command line returns for it."""

    exit_code = 1


class ConfigError(AlbatrossError, ValueError):
    """A setting or a model configuration breaks a rule."""

    exit_code = 2


class DataError(AlbatrossError, ValueError):
    """A text, a record file, a corpus or a shard cannot be used."""


class LabelError(DataError):
    """A record carries a label that the task does not know."""


class FolderError(AlbatrossError, ValueError):
    """A folder is not of the expected kind, or a file in it is missing or damaged."""


class WeightsError(FolderError):
    """Tensors in a file do not fit the model: missing, unexpected, or of another shape."""


class TokenizerError(AlbatrossError, ValueError):
    """A vocabulary cannot be trained from this text or read from this file."""


class TrainingError(AlbatrossError, RuntimeError):
    """A training run cannot go on."""


class MissingDependencyError(AlbatrossError, ImportError):
    """A library of an extra is needed and not installed."""

    def __init__(self, package: str, extra: str) -> None:
        """Say which package is missing and how to install it."""
        self.package, self.extra = package, extra
        super().__init__(
            f"`{package}` is needed for this and is not installed."
            f' Install it with: pip install "albatross[{extra}]"'
        )

    def __reduce__(self) -> tuple[type[MissingDependencyError], tuple[str, str]]:
        """Pass from one process to another, which other exceptions do by their message alone."""
        return type(self), (self.package, self.extra)


class AlbatrossWarning(UserWarning):
    """Something works, but perhaps not as its user expects."""

"""One file with everything, or a file for each part of the data."""

import os
from dataclasses import dataclass
from pathlib import Path

from runner.data.errors import DataSettingError
from runner.data.example import Part


@dataclass(frozen=True)
class PartFiles:
    """Files by part.

    Attributes:
        path: The file with everything, or with the training part where there are others.
        validation: The file of the validation part; None where it is part of `path`.
        test: The file of the test part; None likewise.
    """

    path: Path
    validation: Path | None = None
    test: Path | None = None

    def by_part(self) -> dict[Part | None, tuple[str, Path]]:
        """Key of the `data` section and file by part; None is the part of everything.

        Raises:
            DataSettingError: If one file is named for two parts.
        """
        if self.validation is None and self.test is None:
            return {None: ("data.path", self.path)}
        files: dict[Part | None, tuple[str, Path]] = {Part.TRAIN: ("data.path", self.path)}
        if self.validation is not None:
            files[Part.VALIDATION] = ("data.validation_path", self.validation)
        if self.test is not None:
            files[Part.TEST] = ("data.test_path", self.test)
        keys: dict[str, str] = {}
        for key, path in files.values():
            first = keys.setdefault(os.path.realpath(path), key)
            if first != key:
                raise DataSettingError(key, f"is the same file as {first}", seen=str(path))
        return files

"""Where everything the runner keeps lies on disk; the one place that composes these paths."""

import os
from dataclasses import dataclass, field
from pathlib import Path

HOME_VARIABLE = "RUNNER_HOME"
STORAGE_VARIABLE = "RUNNER_STORAGE"


@dataclass(frozen=True)
class Store:
    """The folder of local results: `mlruns/` in the working directory, or $RUNNER_HOME.

    Layout:
        mlflow.db, artifacts/          MLflow's database and artifacts
        studies/<study>/               one study: journal, lock, inbox, logs, checkpoints
        trained/<experiment>/          weights that `train` made, a folder each time
        cache/                         rebuildable, safe to delete

    Attributes:
        root: The folder.
        storage: Address of the PostgreSQL database that has the studies' journals; None: their
            folders have. It may hold a password, so it is not shown.
    """

    root: Path
    storage: str | None = field(default=None, repr=False)

    @classmethod
    def default(cls) -> "Store":
        """The store of this process, as an absolute path, with $RUNNER_STORAGE if that is set."""
        root = Path(os.environ.get(HOME_VARIABLE, "mlruns")).resolve()
        return cls(root, os.environ.get(STORAGE_VARIABLE) or None)

    @classmethod
    def of_study(cls, folder: Path) -> "Store":
        """The store that a study's folder is in."""
        return cls(folder.parents[2])

    @property
    def files(self) -> "Store":
        """The same folder without the database: what leaves the driver's process."""
        return Store(self.root)

    @property
    def tracking_uri(self) -> str:
        """SQLite address of the local MLflow database."""
        return f"sqlite:///{self.root / 'mlflow.db'}"

    @property
    def artifacts(self) -> Path:
        """Folder of the local MLflow artifacts."""
        return self.root / "artifacts"

    @property
    def studies(self) -> Path:
        """Folder that holds one folder a study."""
        return self.root / "studies"

    @property
    def trained(self) -> Path:
        """Folder that holds, for each experiment, what `train` made of it."""
        return self.root / "trained"

    @property
    def cache(self) -> Path:
        """Folder of caches: keyed by content, always rebuildable, safe to delete."""
        return self.root / "cache"

    def study(self, name: str) -> Path:
        """Folder of one study."""
        return self.studies / name

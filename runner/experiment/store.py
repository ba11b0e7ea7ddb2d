"""Where everything the runner keeps lies on disk; the one place that composes these paths."""

import os
from dataclasses import dataclass
from pathlib import Path

HOME_VARIABLE = "RUNNER_HOME"


@dataclass(frozen=True)
class Store:
    """The folder of local results: `mlruns/` in the working directory, or $RUNNER_HOME.

    Layout:
        mlflow.db, artifacts/          MLflow's database and artifacts
        studies/<study>/               one study: journal, lock, inbox, logs, checkpoints
        cache/                         rebuildable, safe to delete
    """

    root: Path

    @classmethod
    def default(cls) -> "Store":
        """The store of this process, as an absolute path."""
        return cls(Path(os.environ.get(HOME_VARIABLE, "mlruns")).resolve())

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
    def cache(self) -> Path:
        """Folder of caches: keyed by content, always rebuildable, safe to delete."""
        return self.root / "cache"

    def study(self, name: str) -> Path:
        """Folder of one study."""
        return self.studies / name

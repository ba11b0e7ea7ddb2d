"""The examples of an experiment by their ids, as people see them: pictures or texts."""

from pathlib import Path
from typing import TYPE_CHECKING

from runner.errors import NotFound
from runner.experiment import Experiment, Store

if TYPE_CHECKING:
    from PIL.Image import Image

    from runner.data import Source, Text, TextSource


class Examples:
    """Shows the examples of an experiment; its data are opened at the first.

    Args:
        experiment: What was asked; an objective of one's own has no examples that are known.
        store: Where the caches of the data lie.
    """

    def __init__(self, experiment: Experiment, store: Store) -> None:
        self._experiment = experiment
        self._store = store
        self._source: Source | TextSource | None = None
        self._places: dict[str, int] = {}

    def __call__(self, example_id: str) -> "Image | Text":
        """The picture, the text, the texts of a pair, or the words of an example.

        Raises:
            NotFound: If the data have no such example any more.
            DataError: If the data cannot be opened.
        """
        source = self._opened()
        if example_id not in self._places:
            raise NotFound(
                f"{source.name} has no example {example_id!r} any more; it has "
                f"{len(self._places)} examples"
            )
        place = self._places[example_id]
        from runner.data import TextSource

        return source.text(place) if isinstance(source, TextSource) else source.image(place)

    def _opened(self) -> "Source | TextSource":
        if self._source is None:
            from runner.data import open_source

            form, file = self._experiment.form, self._experiment.source_file
            assert form.labels is not None
            assert form.modality is not None
            self._source = open_source(
                self._experiment.data,
                labels=form.labels,
                modality=form.modality,
                base=file.parent if file is not None else Path.cwd(),
                cache=self._store.cache,
            )
            self._places = {e.id: place for place, e in enumerate(self._source.examples)}
        return self._source

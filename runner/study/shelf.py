"""Which studies a store means: those of its database, if it has one, else those of its folder."""

from runner.experiment import Store
from runner.study.folders import Folders
from runner.study.place import Shelf


def shelf_of(store: Store) -> Shelf:
    """The studies of a store.

    Raises:
        StudyError: If its storage is not the address of a PostgreSQL database.
        StorageUnreachable: If that database does not answer, or refuses.
    """
    if store.storage is None:
        return Folders(store.studies)
    from runner.study.postgres import Tables, database_at

    return Tables(database_at(store.storage), store.studies)

"""Studies in PostgreSQL: what a team shares. Imported late, because it imports psycopg."""

from runner.study.postgres.database import Database, database_at
from runner.study.postgres.holding import Holding
from runner.study.postgres.tables import Tables

__all__ = ["Database", "Holding", "Tables", "database_at"]

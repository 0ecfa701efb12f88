"""Alembic migrations: hand-written SQL, importing nothing of ours."""

"""Write the SQL of the wanted versions to the caller's buffer; the caller runs it.

Offline on purpose: the statements adapt to the database by themselves, so no second driver is
needed beside asyncpg, and the caller holds one lock and one transaction around all of it.
"""

from alembic import context

context.configure(
    dialect_name="postgresql",
    dialect_opts={"paramstyle": "named"},  # else every % of the SQL would be doubled
    output_buffer=context.config.attributes["buffer"],
    transactional_ddl=False,
)
context.run_migrations()

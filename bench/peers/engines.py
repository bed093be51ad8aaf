"""Engines of SQLAlchemy on asyncpg, as the peers that take one are given it."""

from typing import Any
from uuid import uuid4

from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from bench.workload import Place

# SQLAlchemy, "asyncpg", "Prepared Statement Name with PGBouncer".
POOLED: dict[str, Any] = {
    "statement_cache_size": 0,
    "prepared_statement_cache_size": 0,
    "prepared_statement_name_func": lambda: f"__asyncpg_{uuid4()}__",
}


def asyncpg_url(place: Place) -> str:
    """Return the URL that names the driver."""
    return place.url.replace("postgresql://", "postgresql+asyncpg://")


def engine_of(place: Place) -> AsyncEngine:
    """Make an engine whose pool keeps as many connections as the candidate may have."""
    return create_async_engine(
        asyncpg_url(place),
        pool_size=place.connections,
        max_overflow=0,
        connect_args=POOLED if place.is_pooled else {},
    )

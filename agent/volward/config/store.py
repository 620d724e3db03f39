"""The `store` of a volume: which database uses it, and in which layout. Frozen pydantic models."""

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StrictStr, WithJsonSchema

from volward.config.values import parse_account, parse_mode, parse_sub_directory

Account = Annotated[
    str,
    BeforeValidator(parse_account),
    WithJsonSchema({"type": "string", "description": "A user or group: its name, or its number in quotes."}),
]
Mode = Annotated[
    int,
    BeforeValidator(parse_mode),
    WithJsonSchema({"type": "string", "pattern": "^[0-7]{3,4}$", "description": 'An access mode: "0750".'}),
]
SubDirectory = Annotated[str, BeforeValidator(parse_sub_directory), WithJsonSchema({"type": "string"})]
Layout = Literal["debian", "container"]


class Settings(BaseModel):
    """Base of all tables of the configuration: frozen, unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class PostgresStore(Settings):
    """PostgreSQL: a cluster directory of its own below the mount, so that initdb finds it empty."""

    kind: Literal["postgres"] = "postgres"
    layout: Layout = Field(
        "debian",
        description="debian: VERSION/CLUSTER, as pg_createcluster lays it out. container: one directory, "
        "`pgdata`, for the official image.",
    )
    version: StrictStr = Field("17", pattern=r"^[1-9][0-9](\.[0-9]+)?$", description="The major version.")
    cluster: StrictStr = Field("main", pattern=r"^[A-Za-z0-9_.][A-Za-z0-9_.-]*$", description="The cluster's name.")
    owner: Account | None = Field(None, description="Default: postgres; 999 in the container layout.")
    group: Account | None = Field(None, description="Default: postgres; 999 in the container layout.")


class RedisStore(Settings):
    """Redis: one directory, `redis`, for RDB snapshots and append-only files."""

    kind: Literal["redis"] = "redis"
    layout: Layout = Field("debian", description="debian: user redis. container: the official image's user.")
    owner: Account | None = Field(None, description="Default: redis; 999 in the container layout.")
    group: Account | None = Field(None, description="Default: redis; 999 in the container layout.")


class QdrantStore(Settings):
    """Qdrant: two directories, `storage` and `snapshots`."""

    kind: Literal["qdrant"] = "qdrant"
    layout: Layout = Field("debian", description="debian: user qdrant. container: the official image's user.")
    owner: Account | None = Field(None, description="Default: qdrant; 0 in the container layout.")
    group: Account | None = Field(None, description="Default: qdrant; 0 in the container layout.")


class DirectoryStore(Settings):
    """Any directory: exports, logs, SQLite files."""

    kind: Literal["directory"] = "directory"
    path: SubDirectory = Field(".", description="A directory inside the mount; '.' is the mount itself.")
    owner: Account = "root"
    group: Account = "root"
    mode: Mode = Field(0o750, description="The directory's access mode, in quotes.")


class ScratchStore(Settings):
    """Temporary files or swap, encrypted with a new random key at each boot: what was there is gone."""

    kind: Literal["scratch"] = "scratch"
    owner: Account = "root"
    group: Account = "root"
    mode: Mode = Field(0o1777, description="The access mode of the mount, in quotes.")


Store = PostgresStore | RedisStore | QdrantStore | DirectoryStore | ScratchStore
KINDS = ("postgres", "redis", "qdrant", "directory", "scratch")

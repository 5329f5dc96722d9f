"""The prefixes that mark a user's own dataset on the command line."""

SHARD_ENDINGS = (".parquet", ".tar")
"""The endings of files that hold many scenes each."""

SHARD_PREFIXES = tuple(f"{ending.removeprefix('.')}:" for ending in SHARD_ENDINGS)

FOLDER_PREFIX = "folder:"

OWN_PREFIXES = (FOLDER_PREFIX, *SHARD_PREFIXES)

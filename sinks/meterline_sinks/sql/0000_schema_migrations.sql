-- Run before all others, each time: what it makes must exist before anything can be recorded.

CREATE DATABASE IF NOT EXISTS ${database} ${on_cluster}
COMMENT 'Metered usage: events, totals, rejects, and the views that answer from them';

CREATE TABLE IF NOT EXISTS ${database}.schema_migrations ${on_cluster}
(
    number     UInt32                 COMMENT 'Number of the file, the first four digits of its name',
    name       String                 COMMENT 'Name of the file',
    checksum   FixedString(64)        COMMENT 'SHA-256 of the file, in hexadecimal; a file that changes after it was applied is refused',
    applied_at DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC') COMMENT 'When it was applied'
)
ENGINE = ${replicated}ReplacingMergeTree
ORDER BY number
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1
COMMENT 'The numbered SQL files that made this database, one row each';

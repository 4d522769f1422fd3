-- An event is looked up by its id alone, and rejects by whose they are and when they came: without these every row is
-- read. What is there already is indexed in the background.

ALTER TABLE ${database}.usage_events_raw ${on_cluster} ADD INDEX IF NOT EXISTS event_id id TYPE bloom_filter(0.001) GRANULARITY 1;

ALTER TABLE ${database}.usage_events_raw ${on_cluster} MATERIALIZE INDEX event_id;

ALTER TABLE ${database}.rejected_events ${on_cluster} ADD INDEX IF NOT EXISTS event_id id TYPE bloom_filter(0.001) GRANULARITY 1;

ALTER TABLE ${database}.rejected_events ${on_cluster} MATERIALIZE INDEX event_id;

ALTER TABLE ${database}.rejected_events ${on_cluster} ADD INDEX IF NOT EXISTS received received_at TYPE minmax GRANULARITY 1;

ALTER TABLE ${database}.rejected_events ${on_cluster} MATERIALIZE INDEX received;

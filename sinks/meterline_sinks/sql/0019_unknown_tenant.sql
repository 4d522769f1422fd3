ALTER TABLE ${database}.rejected_events ${on_cluster}
    COMMENT COLUMN reason 'Why it does not count: invalid_json, invalid_event, quantity_out_of_range, unknown_metric, unknown_tenant, too_old, in_future or duplicate';

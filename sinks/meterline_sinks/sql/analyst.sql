-- Who may read. Not numbered: it is stated whole and run each time, because the password is a setting.

CREATE SETTINGS PROFILE IF NOT EXISTS ${analyst_profile} ${on_cluster};

ALTER SETTINGS PROFILE ${analyst_profile} ${on_cluster} SETTINGS
    final = 1,
    max_execution_time = 60 MAX 600,
    max_memory_usage = 4000000000 MAX 4000000000,
    max_rows_to_read = 10000000000 MAX 10000000000,
    max_result_rows = 10000000 MAX 10000000,
    max_threads = 4 MAX 8,
    max_concurrent_queries_for_user = 20 CONST,
    readonly = 2 CONST;

CREATE USER IF NOT EXISTS ${analyst_user} ${on_cluster} IDENTIFIED WITH sha256_hash BY '${analyst_password_sha256}';

ALTER USER ${analyst_user} ${on_cluster} IDENTIFIED WITH sha256_hash BY '${analyst_password_sha256}'
    DEFAULT DATABASE ${database} SETTINGS PROFILE ${analyst_profile};

GRANT ${on_cluster} SELECT ON ${database}.usage_events TO ${analyst_user};

GRANT ${on_cluster} SELECT ON ${database}.usage_hourly TO ${analyst_user};

GRANT ${on_cluster} SELECT ON ${database}.usage_daily TO ${analyst_user};

GRANT ${on_cluster} SELECT ON ${database}.usage_monthly TO ${analyst_user};

GRANT ${on_cluster} SELECT ON ${database}.usage_freshness TO ${analyst_user};

GRANT ${on_cluster} SELECT ON ${database}.usage_days TO ${analyst_user};

GRANT ${on_cluster} SELECT ON ${database}.rejected_events TO ${analyst_user};

GRANT ${on_cluster} SELECT ON ${database}.notifications TO ${analyst_user};

GRANT ${on_cluster} SELECT ON ${database}.metrics TO ${analyst_user};

GRANT ${on_cluster} SELECT ON ${database}.quotas TO ${analyst_user};

GRANT ${on_cluster} SELECT ON ${database}.thresholds TO ${analyst_user};

GRANT ${on_cluster} SELECT ON ${database}.tenants TO ${analyst_user};

GRANT ${on_cluster} SELECT ON ${database}.plans TO ${analyst_user};

GRANT ${on_cluster} SELECT ON ${database}.tenant_plans TO ${analyst_user};

GRANT ${on_cluster} SELECT ON ${database}.invoices TO ${analyst_user};

GRANT ${on_cluster} SELECT ON ${database}.invoice_lines TO ${analyst_user};

GRANT ${on_cluster} SELECT ON ${database}.daily_costs TO ${analyst_user};

GRANT ${on_cluster} SELECT ON ${database}.stripe_pushes TO ${analyst_user};

GRANT ${on_cluster} SELECT ON ${database}.stripe_items TO ${analyst_user};

GRANT ${on_cluster} SELECT ON ${database}.billing_runs TO ${analyst_user};

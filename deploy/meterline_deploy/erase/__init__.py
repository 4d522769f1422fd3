"""Making a tenant's raw rows anonymous: ``statements`` the SQL (pure) · ``run`` all of it, in order."""

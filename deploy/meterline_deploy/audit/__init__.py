"""Whether the audit log is whole: ``verdict`` what came out · ``copies`` the table · ``verify`` all of it."""

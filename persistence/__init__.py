"""The durable log: runs, journals and inboxes in SQLite or PostgreSQL, written by group commit."""

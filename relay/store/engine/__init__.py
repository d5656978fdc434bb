"""Opening the database, the thread that writes, migrations."""

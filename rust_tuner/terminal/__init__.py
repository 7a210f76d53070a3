"""What the command line shows: tables and the status of a study."""

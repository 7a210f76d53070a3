"""The sections of the report, one chapter a module."""

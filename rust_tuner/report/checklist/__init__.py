"""The reporting checklist, filled in where the records hold the facts."""

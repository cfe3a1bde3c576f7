"""From records to tables and pictures."""

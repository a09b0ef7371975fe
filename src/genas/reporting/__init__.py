"""The report page of a run: one self-contained HTML file."""

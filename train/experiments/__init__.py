"""The papers' experiments: tables and figures as data, trained, scored and set side by side."""
